"""Where the public samples lie: beside the project, also when it is checked out as a second working tree."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]


def find_samples() -> Path:
    """The folder of samples (`ERTE_SAMPLES`, else ../shared/samples of the project); it may not exist: tests then skip."""
    if told := os.environ.get("ERTE_SAMPLES"):
        return Path(told)
    link = ROOT / ".git"
    roots = [ROOT]
    if link.is_file():  # a second working tree names the first: gitdir: <first>/.git/worktrees/<name>
        roots.append(Path(link.read_text().removeprefix("gitdir:").strip()).parents[2])
    found = [root.parent / "shared" / "samples" for root in roots]
    return next((path for path in found if path.is_dir()), found[0])
