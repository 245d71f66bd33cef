"""Consent: who allowed what, and the gate that asks."""
