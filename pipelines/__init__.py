"""Erte: early-childhood screening results in, PMPC feeds and a prevalence warehouse out."""

import os

# Check digits are a narrow matrix product in every judge: the threads of BLAS would only wait for one another beside them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# A night asks polars for the same memory again and again: kept for five seconds, and in large pages, it need not be cleared by the
# system each time (a tenth of a night, where the system has large pages to give).
os.environ.setdefault("_RJEM_MALLOC_CONF", "thp:always,dirty_decay_ms:5000,muzzy_decay_ms:5000")
