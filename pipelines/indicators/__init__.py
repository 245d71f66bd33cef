"""Indicators: rates, intervals, disclosure control, the published build."""
