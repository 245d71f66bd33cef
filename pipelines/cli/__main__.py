"""`python -m pipelines.cli`: the same as `erte`."""

from pipelines.cli import app

if __name__ == "__main__":
    app()
