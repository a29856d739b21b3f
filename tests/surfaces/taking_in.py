"""Taking in new data, without a model."""

from __future__ import annotations

from pathlib import Path

from onward.app.project import open_project
from onward.flow.run.runs import request


def take_in(folder: Path) -> None:
    """Bring tables and features up to date, as `onward up` does when files come."""
    with open_project(folder) as project, project.alone():
        project.deliver(request(project.site, "new data", "data", train=False))
