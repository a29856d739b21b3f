"""What a user declares about serving; what about releases, `release/config.py` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from onward.core.clock import duration
from onward.core.declared import here
from onward.core.errors import DeclarationError, Location, unknown_name


@dataclass(frozen=True, slots=True, init=False)
class Serving:
    """How the model is served, whichever version it is. What is not said, `onward.toml` says.

    Parameters
    ----------
    log
        What a logged prediction survives. ``"fast"``: it is written before the answer leaves, so
        that a crash of the process loses none; a crash of the machine loses the answers of
        ``[gateway] log_bound`` at most. ``"strict"``: it is on the disk before the answer leaves,
        and nothing is lost; flushes are shared by all answers that wait.
    on_log_failure
        What becomes of a prediction that cannot be logged, the disk being full for one:
        ``"refuse"`` answers 503, ``"serve"`` answers it and says that it is not logged.
    deadline
        How long a request waits for its turn whose caller names no deadline (``"50ms"``); then it
        is answered 504, without a prediction.
    rows
        How many rows a request may have; larger ones get 413.
    """

    log: Literal["fast", "strict"] | None
    on_log_failure: Literal["refuse", "serve"] | None
    deadline: timedelta | None
    rows: int | None
    location: Location | None = field(compare=False)

    def __init__(
        self,
        *,
        log: Literal["fast", "strict"] | None = None,
        on_log_failure: Literal["refuse", "serve"] | None = None,
        deadline: str | timedelta | None = None,
        rows: int | None = None,
    ) -> None:
        location = here()
        if rows is not None and rows < 1:
            raise DeclarationError(
                f"a request may have {rows} rows", expected="one or more", location=location
            )
        _known("guarantee", log, ("fast", "strict"), location)
        _known("policy", on_log_failure, ("refuse", "serve"), location)
        set_ = object.__setattr__
        set_(self, "log", log)
        set_(self, "on_log_failure", on_log_failure)
        set_(self, "deadline", None if deadline is None else duration(deadline, location))
        set_(self, "rows", rows)
        set_(self, "location", location)


def _known(kind: str, name: str | None, known: Sequence[str], location: Location | None) -> None:
    if name is not None and name not in known:
        what, expected = unknown_name(kind, name, known)
        raise DeclarationError(what, expected=expected, location=location)
