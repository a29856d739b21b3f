"""How much a gateway takes on."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a worker takes on.

    Parameters
    ----------
    waiting
        Requests accepted and not answered; those beyond it get 429.
    waiting_bytes
        The bytes of their bodies; and, beside those, of bodies that have not arrived whole.
    rows
        Rows of one request; larger ones get 413.
    deadline_s
        The deadline of requests that name none; None lets them wait.
    connections
        Open connections; those beyond it get 503 and are closed. There are fewer where the system
        allows a process fewer open files.
    receive_s
        How long a request may take to arrive whole; then 408.
    idle_s
        How long a connection may stay open between requests, or without taking its answers.
    hang_s
        How long a worker's event loop may stand still before it is ended; 0 for ever.
    model_bytes
        The memory of the versions that are loaded; 0 bounds it not. Those that routes need are
        loaded in any case.
    """

    waiting: int = 1024
    waiting_bytes: int = 256 << 20
    rows: int = 10_000
    deadline_s: float | None = None
    connections: int = 10_000
    receive_s: float = 30.0
    idle_s: float = 75.0
    hang_s: float = 10.0
    model_bytes: int = 0
