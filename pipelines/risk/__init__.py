"""Risk: protocols as dated data, verdicts, flags, the calendar."""
