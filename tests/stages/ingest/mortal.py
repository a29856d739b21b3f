"""A lake in whose hands a run dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onward.infra.lake.iceberg import IcebergLake


class Crash(BaseException):
    """What a kill looks like from inside: nothing after it runs."""


class Mortal:
    """A lake whose process dies just before, or just after, its n-th effect."""

    def __init__(self, lake: IcebergLake, effects: int, after: bool) -> None:
        self._lake, self._left, self._after = lake, effects, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._lake, name)
        return self._mortal(found) if name in ("stage", "publish", "append") else found

    def _mortal(self, effect: Callable[..., Any]) -> Callable[..., Any]:
        def attempt(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Crash
            found = effect(*args, **kwargs)
            if self._left == 0:
                raise Crash
            return found

        return attempt
