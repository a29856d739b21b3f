"""OpenLineage: ledger events as run events of the open standard, to a backend or a file.

Specification: https://openlineage.io/spec/2-0-2/OpenLineage.json. Every piece of work that the
ledger tells of (an ingestion, an audit, a training, …) becomes one START and one terminal event.
A run's id follows from the ledger's hash, so that what is sent twice is one run to the backend.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openlineage.client.event_v2 import RunEvent
from openlineage.client.serde import Serde

from onward.core.errors import OnwardError
from onward.core.events import Recorded
from onward.watch.lineage.adapters.openlineage_runs import Naming, run_events

if TYPE_CHECKING:
    from openlineage.client.transport.http import HttpTransport

_ENDPOINT: Final = "api/v1/lineage"
_TIMEOUT_S: Final = 10.0


def as_json(events: Sequence[Recorded], naming: Naming) -> Iterator[str]:
    """Yield each OpenLineage event as one line of JSON."""
    for recorded in events:
        for event in run_events(recorded, naming):
            yield Serde.to_json(event)


@dataclass(frozen=True, slots=True)
class LineageFile:
    """Appends to a file, one event a line."""

    path: Path
    naming: Naming

    def send(self, events: Sequence[Recorded]) -> None:
        """Append them.

        Raises
        ------
        OnwardError
            The file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.writelines(f"{line}\n" for line in as_json(events, self.naming))
        except OSError as error:
            raise OnwardError(
                f"lineage cannot be written to {self.path}: {error.strerror}",
                next_step="check the path in [lineage] openlineage of onward.toml",
            ) from None


@dataclass(frozen=True, slots=True)
class LineageBackend:
    """Posts to a backend that speaks OpenLineage, such as Marquez.

    Parameters
    ----------
    url
        The backend's address, or that of its endpoint.
    api_key
        Sent as a bearer token; empty for none.
    """

    url: str
    naming: Naming
    api_key: str = field(default="", repr=False)

    def send(self, events: Sequence[Recorded]) -> None:
        """Post them one by one.

        Raises
        ------
        OnwardError
            The backend does not answer, or refuses one.
        """
        transport = self._transport()
        try:
            for recorded in events:
                for event in run_events(recorded, self.naming):
                    self._post(transport, event)
        finally:
            transport.close(0)

    def _post(self, transport: HttpTransport, event: RunEvent) -> None:
        try:
            transport.emit(event)
        except Exception as error:  # the transport's own errors and its HTTP library's
            raise OnwardError(
                f"the lineage backend at {self.url} did not take an event: {error}",
                expected="an address that takes OpenLineage events",
                next_step="check [lineage] openlineage in onward.toml; what was not sent waits",
            ) from None

    def _transport(self) -> HttpTransport:
        from openlineage.client.transport.http import HttpConfig, HttpTransport

        base, _, endpoint = self.url.partition("/api/")
        config = {"url": base, "endpoint": f"api/{endpoint}" if endpoint else _ENDPOINT}
        settings = {**config, "timeout": _TIMEOUT_S, "retry": {"total": 1}}
        if self.api_key:
            settings["auth"] = {"type": "api_key", "apiKey": self.api_key}
        return HttpTransport(HttpConfig.from_dict(settings))
