"""Any sequence of verbs leaves the lake as a dictionary would have it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from onward.core.errors import DivergedError, NotFoundError
from onward.infra.lake.iceberg import open_lake

BRANCHES = st.sampled_from(["a", "b"])
ROWS = st.lists(st.integers(0, 99), max_size=3)


@dataclass
class Staged:
    base: int | None
    snapshot: int
    key: str
    rows: list[int]


@dataclass
class Model:
    """Main's commits as (snapshot, key, branch, rows after it), and what is staged."""

    commits: list[tuple[int, str | None, str | None, list[int]]] = field(default_factory=list)
    staged: dict[str, Staged] = field(default_factory=dict)

    @property
    def head(self) -> int | None:
        return self.commits[-1][0] if self.commits else None

    def same_rows(self, base: int | None) -> bool:
        """Whether nothing but compactions, which have no key, came after `base`."""
        since = [snapshot for snapshot, *_ in self.commits]
        since = self.commits[since.index(base) + 1 :] if base in since else self.commits
        return (base is None) == (since == self.commits) and not any(key for _, key, *_ in since)

    @property
    def rows(self) -> list[int]:
        return self.commits[-1][3] if self.commits else []


def table(rows: list[int]) -> pa.Table:
    return pa.table({"n": pa.array(rows, pa.int64())})


class LakeMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.lake = open_lake(Path(self.folder.name))
        self.model = Model()
        self.number = 0

    def teardown(self) -> None:
        self.folder.cleanup()

    def fresh(self) -> str:
        self.number += 1
        return f"key {self.number}"

    @rule(branch=BRANCHES, rows=ROWS, replace=st.booleans())
    def stage(self, branch: str, rows: list[int], replace: bool) -> None:
        key, main = self.fresh(), self.model
        after = rows if replace else main.rows + rows
        mode = "replace" if replace else "append"
        staged = self.lake.stage("t.t", table(rows), branch=branch, mode=mode, summary={"key": key})
        assert (staged.parent, staged.rows) == (main.head, len(after))
        main.staged[branch] = Staged(main.head, staged.id, key, after)

    @rule(branch=BRANCHES, again=st.booleans())
    def publish(self, branch: str, again: bool) -> None:
        staged = self.model.staged.get(branch)
        if staged is None:
            published = [s for s, _, of, _ in self.model.commits if of == branch]
            if published:
                found = self.lake.publish("t.t", branch, expect=self.model.head)
                assert found.id == published[-1]
            else:
                with pytest.raises(NotFoundError):
                    self.lake.publish("t.t", branch, expect=self.model.head)
            return
        if not self.model.same_rows(staged.base):
            with pytest.raises(DivergedError):
                self.lake.publish("t.t", branch, expect=staged.base, key=staged.key)
            return
        head = self.model.head
        for _ in range(1 + again):
            done = self.lake.publish("t.t", branch, expect=staged.base, key=staged.key)
            assert (done.id == staged.snapshot) == (staged.base == head)
        self.model.commits.append((done.id, staged.key, branch, staged.rows))
        del self.model.staged[branch]

    @rule(branch=BRANCHES)
    def drop(self, branch: str) -> None:
        self.lake.drop_branch("t.t", branch)
        self.model.staged.pop(branch, None)

    @rule(rows=ROWS, repeat=st.booleans())
    def append(self, rows: list[int], repeat: bool) -> None:
        known = [c for c in self.model.commits if c[1] is not None]
        if repeat and known:
            snapshot, key, _, _ = known[len(rows) % len(known)]
            assert self.lake.append("t.t", table(rows), key=key).id == snapshot
            return
        key = self.fresh()
        landed = self.lake.append("t.t", table(rows), key=key)
        if landed is None:
            assert not rows
            assert not self.model.commits
            return
        self.model.commits.append((landed.id, key, None, self.model.rows + rows))

    @rule(every=st.integers(0, 3))
    def compact(self, every: int) -> None:
        landed = self.lake.compact("t.t", every=every)
        if landed is not None:
            self.model.commits.append((landed.id, None, None, self.model.rows))

    @rule()
    def reopen(self) -> None:
        self.lake = open_lake(Path(self.folder.name))

    @invariant()
    def agree(self) -> None:
        main = self.model
        history = self.lake.history("t.t")
        assert [s.id for s in history] == [snapshot for snapshot, *_ in main.commits]
        assert [s.rows for s in history] == [len(rows) for *_, rows in main.commits]
        assert [s.summary.get("key") for s in history] == [key for _, key, *_ in main.commits]
        for branch in ("a", "b"):
            head = self.lake.head("t.t", branch)
            assert (head and head.id) == (
                (branch in main.staged and main.staged[branch].snapshot) or None
            )
        if main.commits:
            assert sorted(self.lake.read("t.t")["n"].to_pylist()) == sorted(main.rows)
            first, _, _, rows = main.commits[0]
            found = self.lake.read("t.t", snapshot=first)
            assert sorted(found["n"].to_pylist()) == sorted(rows)


LakeMachine.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLakeModel = LakeMachine.TestCase
