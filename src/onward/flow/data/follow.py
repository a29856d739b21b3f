"""Following a source: batch after batch is taken in, until it is told to stop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Final

from onward.core.errors import DeclarationError, OnwardError
from onward.flow.data.ingest import Taken, new_id, take
from onward.flow.pipeline.definition import Definition
from onward.flow.site import Site
from onward.stages.ingest.config import Source

IDLE_S: Final = 1.0  # between looks at a source that has nothing new
FIRST_PAUSE_S: Final = 1.0  # after a batch that failed or was held, doubled each further time
LONGEST_PAUSE_S: Final = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """A source that could not be taken in for now, and in how many seconds that is tried again."""

    source: str
    why: str
    seconds: float


def follow(
    site: Site,
    definition: Definition,
    source: Source,
    *,
    stop: Event,
    tidy: Callable[[], None],
    begin: Callable[[str], None],
    heard: Callable[[Taken | Paused], None],
) -> None:
    """Take in micro-batches of a source until `stop` is set; what is under way then is finished.

    One batch is taken after the other, so what waits does so at the source. What goes wrong outside
    (a server that does not answer, a full disk, a batch that its rules hold back) is told, and
    tried again after a pause that grows to a minute.

    Parameters
    ----------
    tidy
        Drops what a holder before left behind; done before the first batch, until it succeeds.
    begin
        Told a batch's id before anything of it is written.
    heard
        Told of each batch, and of each pause.

    Raises
    ------
    DeclarationError
        The source is not as it was declared: trying again would not mend it.
    """
    pause, tidied = FIRST_PAUSE_S, False
    while not stop.is_set():
        run = new_id(site)
        try:
            if not tidied:
                tidy()
                tidied = True
            begin(run)
            taken = take(site, definition, source, run, source.micro_batch)
        except DeclarationError:
            raise
        except (OnwardError, OSError) as error:
            _log.warning("source %s: %s", source.name, error, exc_info=True)
            heard(Paused(source=source.name, why=_in_short(error), seconds=pause))
        else:
            if taken is None:
                stop.wait(IDLE_S)
                continue
            heard(taken)
            if not taken.held:
                pause = FIRST_PAUSE_S
                continue
            why = f"held: {', '.join(taken.held)}"
            heard(Paused(source=source.name, why=why, seconds=pause))
        stop.wait(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


def _in_short(error: OnwardError | OSError) -> str:
    return error.what if isinstance(error, OnwardError) else str(error)
