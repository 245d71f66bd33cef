"""`erte ...`: everything the pipeline does, without Airflow. Exit code 0 only when what was asked is true.

Nothing is imported and nothing begun before it is called: every process among which a night shares its work imports this page again.
"""

import gc
import json
import sys

from pipelines.night import workers


def main() -> None:
    """What `erte` runs: a word that no command knows is told like every error of a user, as JSON where that was asked for."""
    gc.set_threshold(workers.GARBAGE)
    if sys.argv[1:2] == ["run"]:  # beside what is imported below: a night of many rows shares its work
        workers.begin()
    from typer.exceptions import TyperException

    from pipelines.cli.commands import app

    if "--json" not in sys.argv:
        app()
    try:
        sys.exit(app(standalone_mode=False))
    except TyperException as error:
        print(json.dumps({"error": "usage", "text": error.format_message()}, ensure_ascii=False))
        sys.exit(error.exit_code)
