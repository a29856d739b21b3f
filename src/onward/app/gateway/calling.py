"""Asking for predictions: a gateway that runs, or one that is started for the occasion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onward.app.gateway.callers import shown, verified
from onward.app.gateway.serving import address, serving
from onward.app.settings.sections import Settings
from onward.core.errors import BusyError, CorruptError, DataError, NotFoundError
from onward.flow.release.serving import declare
from onward.flow.site import Folders

if TYPE_CHECKING:
    from onward.app.project import Project


@dataclass(frozen=True, slots=True)
class Caller:
    """Asks a gateway for predictions."""

    url: str
    model: str
    state: Path

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Ask for rows; the answer is the gateway's, as it stands.

        Raises
        ------
        DataError
            The gateway refused the rows.
        """
        return self._post("predict", {"rows": rows})

    def tell(self, feedback: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Tell what became known about predictions; the answer is the gateway's, as it stands.

        Raises
        ------
        DataError
            The gateway refused it.
        """
        return self._post("feedback", {"feedback": feedback})

    def _post(self, route: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        import httpx
        import msgspec

        answer = httpx.post(
            f"{self.url}/v2/models/{self.model}/{route}",
            content=msgspec.json.encode(asked, enc_hook=str),
            headers={"content-type": "application/json", **shown(self.state)},
            verify=verified(self.state),
            timeout=30,
        )
        body: Mapping[str, Any] = answer.json()
        if answer.status_code != 200:
            raise DataError(
                f"the gateway answered {answer.status_code}: {body.get('error', body)}",
                next_step="`onward predict --body` shows what a whole row is"
                if route == "predict" and answer.status_code == 400
                else None,
            )
        return body


def serve_as_declared(project: Project) -> None:
    """Have a gateway that is started for one call answer as the pipeline says now.

    One that runs already, or a run that is under way, sees to that by itself.
    """
    if address(project.settings.state) is None:
        with suppress(BusyError), project.alone():
            declare(Folders(project.settings.state), project.definition)


@contextmanager
def calling(settings: Settings, model: str) -> Iterator[Caller]:
    """Give a caller of the gateway that runs, or of one started for the occasion.

    Raises
    ------
    NotFoundError
        Nothing was released yet.
    CorruptError
        The gateway started for this call refuses the image that serves.
    """
    url = address(settings.state)
    if url is not None:
        yield Caller(url, model, settings.state)
        return
    if not (Folders(settings.state).routes / f"{model}.json").exists():
        raise NotFoundError(
            f"no version of {model!r} serves yet", next_step="`onward run` releases the first"
        )
    with serving(settings, port=0) as gateway:
        refused = gateway.settle(model)
        if refused is not None:
            raise CorruptError(
                f"the image of {model!r} that serves cannot be used: {refused}",
                next_step="`onward rollback` returns to the champion before; or restore the file",
            )
        yield Caller(gateway.url, model, settings.state)
