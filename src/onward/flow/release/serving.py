"""What a pipeline says of serving, brought to the gateways: the routes carry it."""

from __future__ import annotations

from dataclasses import replace

from onward.core.errors import CorruptError
from onward.core.records import Routes
from onward.flow.pipeline.definition import Definition
from onward.flow.site import Folders
from onward.stages.serve.routes import read_routes, write_routes


def declare(folders: Folders, definition: Definition) -> None:
    """Have the model served as its pipeline says from now on; nothing where it is not served."""
    serving = definition.pipeline.serving
    routes = written(folders, definition.model)
    if routes is None:
        return
    deadline = serving.deadline
    wanted = replace(
        routes,
        log=serving.log,
        on_log_failure=serving.on_log_failure,
        deadline_s=None if deadline is None else deadline.total_seconds(),
        rows=serving.rows,
    )
    if wanted != routes:
        write_routes(folders.routes, wanted)


def written(folders: Folders, model: str) -> Routes | None:
    """Return the model's routes as they are; None where there are none that can be read."""
    try:
        return read_routes(folders.routes / f"{model}.json")[0]
    except CorruptError:
        return None
