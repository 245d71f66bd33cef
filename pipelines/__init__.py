"""Erte: early-childhood screening results in, PMPC feeds and a prevalence warehouse out."""

import os

# Check digits are a narrow matrix product in every judge: the threads of BLAS would only wait for one another beside them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
