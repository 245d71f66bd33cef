"""Referral: composing, sealing and reconciling feeds."""
