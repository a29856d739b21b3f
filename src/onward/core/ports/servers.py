"""Gateways that are started."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from onward.core.records import ImageRef


class Server(Protocol):
    """A gateway that was started."""

    @property
    def url(self) -> str:
        """``http://host:port``, without a trailing slash."""
        ...

    @property
    def pid(self) -> int: ...

    def alive(self) -> bool: ...

    def stop(self) -> None:
        """Drain and end it; wait until it is gone."""
        ...


class Servers(Protocol):
    """Starts gateways."""

    def start_staging(self, image: ImageRef, folder: Path) -> Server:
        """Serve one image alone on a free port, its log and state under `folder`."""
        ...

    def start_replay(self, image: ImageRef, folder: Path) -> Server:
        """The same, with production's online features, each request answered as of its own time."""
        ...
