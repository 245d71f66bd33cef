"""Intake: receive, conform, judge, feedback."""
