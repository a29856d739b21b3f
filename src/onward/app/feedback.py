"""Telling the gateway what became known about a prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onward.app.project import Project


def tell(
    project: Project, prediction: str, value: float | bool | str, *, name: str = "label"
) -> Mapping[str, Any]:
    """Tell a prediction's label, or what else `name` says; return the gateway's answer.

    Raises
    ------
    NotFoundError
        There is no such prediction.
    DataError
        The gateway refused it.
    """
    from onward.app.gateway.calling import calling, serve_as_declared
    from onward.app.predictions import look_up

    model = look_up(project, prediction).model
    serve_as_declared(project)
    with calling(project.settings, model) as client:
        return client.tell([{"prediction": prediction, "value": value, "name": name}])
