"""The online store port on Redis: a string per view version and entity.

A string is a row's blob, as `rows` has it. Rows go in by a script, which lets no older row replace
a newer one, many to a call and many calls to a round trip; they come out by MGET. The mark is
written after the rows: a writer that dies between leaves an old mark, and its rows are written once
more.

A key expires when its row is past its time to live *and* that reads as a missing row. It counts
from the write, which is never before the row's event time, so no row goes early, in a replay
either. Redis must not evict others: ``maxmemory-policy`` is ``noeviction`` or ``volatile-ttl``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import RedisError
from redis.retry import Retry

from onward.core.ports import Entity, Lookup, OnlineRow
from onward.core.records import Materialized, ViewPlan
from onward.infra.online.rows import TIME, decode, encoded, key, keys, mark_text, read_mark
from onward.infra.online.server import unavailable

if TYPE_CHECKING:
    import pyarrow as pa

_PER_CALL: Final = 500  # rows to a script's call: it blocks the server for about a millisecond
_CALLS: Final = 20  # calls to a round trip
_AT_ONCE: Final = 5_000  # keys to one MGET

_UPSERT: Final = f"""
local newer = 0
for i, key in ipairs(KEYS) do
  local given = ARGV[i + 1]
  local held = redis.call('GETRANGE', key, {TIME.start}, {TIME.stop - 1})
  if held == '' or struct.unpack('>i8', given, {TIME.start + 1}) >= struct.unpack('>i8', held) then
    if ARGV[1] == '0' then
      redis.call('SET', key, given)
    else
      redis.call('SET', key, given, 'PX', ARGV[1])
    end
    newer = newer + 1
  end
end
return newer
"""


def open_store(url: str, namespace: str = "onward", timeout_s: float = 30.0) -> RedisOnlineStore:
    """Open the store at ``redis://…``, ``rediss://…`` or ``unix://…``; it connects when asked.

    Parameters
    ----------
    namespace
        What every key begins with: projects that share a server differ in it.
    timeout_s
        How long a call may wait for the server.
    """
    return RedisOnlineStore(url, namespace=namespace, timeout_s=timeout_s)


class RedisOnlineStore:
    """Feature rows as strings. Readers may see part of a write, never an older row after a newer.

    A connection that broke is made anew, once, within the same call.
    """

    def __init__(self, url: str, *, namespace: str, timeout_s: float) -> None:
        self._url = url
        self._namespace = namespace
        self._redis: Any = redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1, supported_errors=(Disconnected,)),
        )
        self._prefixes: dict[str, bytes] = {}
        self._script = self._redis.register_script(_UPSERT)

    @property
    def remote(self) -> bool:
        return True

    # ------------------------------------------------------------ writing

    def write(self, view: ViewPlan, rows: pa.Table, *, mark: Materialized | None = None) -> int:
        prefix, expiry = self._prefix(view), _expiry_ms(view)
        newer: list[int] = []
        with self._answering():
            pipeline = self._redis.pipeline(transaction=False)
            for part in _parts(encoded(view, rows), _PER_CALL):
                keys = [prefix + entity for entity, _, _ in part]
                blobs = [row for _, _, row in part]
                self._script(keys=keys, args=[expiry, *blobs], client=pipeline)
                if len(pipeline) == _CALLS:
                    newer += pipeline.execute()
            newer += pipeline.execute()
            if mark is not None:
                self._redis.set(self._mark(view), mark_text(mark))
        return sum(newer)

    def mark(self, view: ViewPlan) -> Materialized | None:
        with self._answering():
            return read_mark(self._redis.get(self._mark(view)))

    def remove(self, view: ViewPlan, entities: Sequence[Entity]) -> int:
        prefix = self._prefix(view)
        keys = [prefix + key(entity) for entity in entities]
        with self._answering():
            removed: list[int] = [self._redis.unlink(*p) for p in _parts(iter(keys), _AT_ONCE)]
        return sum(removed)

    # ------------------------------------------------------------ reading

    def read(self, lookups: Sequence[Lookup]) -> Sequence[Sequence[OnlineRow | None]]:
        asked: list[bytes] = []
        for view, entities in lookups:
            prefix = self._prefix(view)
            asked += [prefix + one for one in keys(entities)]
        if not asked:
            return [[] for _ in lookups]
        rows = [decode(blob) if blob is not None else None for blob in self._fetched(asked)]
        if len(lookups) == 1:
            return [rows]
        found = iter(rows)
        return [[next(found) for _ in entities] for _, entities in lookups]

    def _fetched(self, keys: list[bytes]) -> list[bytes | None]:
        try:  # plainly: this is the gateway's path
            if len(keys) == 1:
                return [self._redis.get(keys[0])]
            if len(keys) <= _AT_ONCE:
                fetched: list[bytes | None] = self._redis.mget(keys)
                return fetched
            pipeline = self._redis.pipeline(transaction=False)
            for part in _parts(iter(keys), _AT_ONCE):
                pipeline.mget(part)
            return [blob for part in pipeline.execute() for blob in part]
        except RedisError as error:
            raise unavailable(self._url, error) from error

    def close(self) -> None:
        self._redis.close()

    # ------------------------------------------------------------ names

    def _prefix(self, view: ViewPlan) -> bytes:
        found = self._prefixes.get(view.table)
        if found is None:
            found = self._prefixes[view.table] = f"{self._namespace}:{view.ref}:".encode()
        return found

    def _mark(self, view: ViewPlan) -> str:
        return f"{self._namespace}:{view.ref}"

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except RedisError as error:
            raise unavailable(self._url, error) from error


def _expiry_ms(view: ViewPlan) -> int:
    """Return how long after its write a row may go, in milliseconds; 0 for never."""
    if view.ttl_s is None or view.on_stale != view.on_missing:
        return 0
    return int(view.ttl_s * 1000) + 1


def _parts(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while part := list(islice(items, size)):
        yield part
