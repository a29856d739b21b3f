"""The gateway that `onward up` keeps: whenever its process ends, it is started again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from onward.app.gateway.config import config
from onward.app.gateway.serving import Gateway
from onward.app.settings.sections import Settings
from onward.core.errors import OnwardError

if TYPE_CHECKING:
    from onward.core.ports import Server
    from onward.watch.access.config import Access

LOOK_S: Final = 0.25
PATIENCE_S: Final = (0.5, 10.0)  # before another try, at first and at most
GIVE_UP_S: Final = 120.0


class KeptServer:
    """A gateway that a thread of its own starts again, whatever else is under way meanwhile.

    Workers of a gateway that was killed hold its port until they have drained: a start that fails
    is tried again, for two minutes.

    Parameters
    ----------
    start
        Starts a gateway and waits until it is ready; `OnwardError` where it does not start.
    say
        Told, in a sentence each, what happens.
    """

    def __init__(self, start: Callable[[], Server], say: Callable[[str], None]) -> None:
        self._start = start
        self._say = say
        self._server = start()
        self._given_up = False
        self._stopping = Event()
        self._keeping = Thread(target=self._keep, name="gateway", daemon=True)
        self._keeping.start()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def pid(self) -> int:
        return self._server.pid

    def alive(self) -> bool:
        """Whether it serves, or will soon: false once nothing more is tried."""
        return not self._given_up

    def stop(self) -> None:
        self._stopping.set()
        self._keeping.join()
        self._server.stop()

    def _keep(self) -> None:
        while not self._stopping.wait(LOOK_S):
            if not self._server.alive():
                self._say(f"the gateway (process {self._server.pid}) has ended: starting it again")
                if not self._started_again():
                    return

    def _started_again(self) -> bool:
        pause, most = PATIENCE_S
        deadline = time.monotonic() + GIVE_UP_S
        while not self._stopping.is_set():
            try:
                self._server = self._start()
            except (OnwardError, OSError) as error:
                if time.monotonic() > deadline:
                    self._say(f"error: {error}")
                    self._given_up = True
                    return False
            else:
                self._say(f"the gateway serves again (process {self._server.pid})")
                return True
            self._stopping.wait(pause)
            pause = min(2 * pause, most)
        return False


@contextmanager
def kept(
    settings: Settings, *, access: Access | None, say: Callable[[str], None]
) -> Iterator[Gateway]:
    """Run the production gateway and keep it running; on leaving, drain and end it.

    `access` are the roles of those who call it, where settings say that callers must be known.

    Raises
    ------
    BusyError
        Something else listens on the port.
    """
    from onward.stages.serve.gateway.process.local import start_gateway

    chosen = config(settings, clock="system", port=settings.gateway.port, access=access)
    server = KeptServer(lambda: start_gateway(chosen), say)
    try:
        yield Gateway(server, settings.state)
    finally:
        server.stop()
