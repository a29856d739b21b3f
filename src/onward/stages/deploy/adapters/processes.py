"""This machine: the gateway that `onward up` keeps, as a process of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from onward.stages.deploy.workload import Workload


class LocalTarget:
    """The configuration of a gateway over the project's own routes, images and log."""

    def render(self, workload: Workload) -> Mapping[str, str]:
        """Return what ``python -m onward.stages.serve.gateway --config`` is told."""
        return {"gateway.json": json.dumps(workload.config, sort_keys=True, indent=1) + "\n"}

    def command(self, folder: Path, workload: Workload) -> Sequence[str]:  # noqa: ARG002 (the port's)
        """Nothing is to be done: `onward up` keeps it."""
        return ()
