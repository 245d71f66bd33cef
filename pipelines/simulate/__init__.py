"""A synthetic nation with known truth."""
