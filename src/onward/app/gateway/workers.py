"""How the gateway stands, worker by worker, from what they last told of themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from onward.core.errors import NotFoundError
from onward.flow.site import Folders

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.stages.serve.gateway.metrics.counters import Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A worker: since it started, how many requests it answered, refused and failed."""

    slot: int
    pid: int
    state: str
    since: datetime
    requests: int
    refused: int
    failed: int
    waiting: int
    connections: int
    versions: Mapping[str, str | None]
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStatus:
    """A gateway that runs: where, and its workers by slot."""

    url: str
    workers: Sequence[WorkerStatus]


def gateway_status(project: Project) -> GatewayStatus:
    """Return how the project's gateway stands; what a worker tells is half a second old at most.

    Raises
    ------
    NotFoundError
        None runs.
    """
    from onward.app.gateway.serving import address
    from onward.stages.serve.gateway.metrics.board import Board

    url = address(project.settings.state)
    if url is None:
        raise NotFoundError("no gateway runs on this project", next_step="`onward up` starts it")
    told, retired = Board(Folders(project.settings.state).gateway).read()
    workers = []
    for each in told:
        statuses = _statuses(each.samples)
        workers.append(
            WorkerStatus(
                slot=each.slot,
                pid=each.pid,
                state=each.state,
                since=datetime.fromtimestamp(each.since, UTC),
                requests=sum(statuses.values()),
                refused=sum(n for status, n in statuses.items() if 400 <= status < 500),
                failed=sum(n for status, n in statuses.items() if status >= 500),
                waiting=_total(each.samples, "onward_requests_waiting"),
                connections=_total(each.samples, "onward_connections"),
                versions={model: routes["version"] for model, routes in each.routes.items()},
                restarts=retired.restarts.get(each.slot, 0),
            )
        )
    return GatewayStatus(url=url, workers=workers)


def _statuses(samples: Samples) -> Counter[int]:
    found: Counter[int] = Counter()
    for (_, status), count in samples.get("onward_requests_total", {}).items():
        found[int(status)] += int(count)
    return found


def _total(samples: Samples, name: str) -> int:
    return int(sum(samples.get(name, {}).values()))
