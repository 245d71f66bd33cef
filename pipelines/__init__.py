"""Erte: early-childhood screening results in, PMPC feeds and a prevalence warehouse out."""
