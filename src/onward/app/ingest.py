"""Taking in a project's sources without a run: once, or for as long as they go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING

from onward.app.access import require
from onward.app.leases import Lease
from onward.core.errors import BusyError, NotFoundError, unknown_name
from onward.flow.data.follow import Paused, follow
from onward.flow.data.ingest import Taken, forget, new_id, take
from onward.stages.ingest.config import Source

if TYPE_CHECKING:
    from onward.app.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A source that process `holder` takes in; this one stands by."""

    source: str
    holder: str


Heard = Callable[[Taken | Paused | Waiting], None]


def chosen(project: Project, names: Sequence[str]) -> Sequence[Source]:
    """Return the named sources, all of them without names, if the caller may take them in.

    Raises
    ------
    NotFoundError
        A name is no source's.
    DeniedError
        The caller may not run one of them.
    """
    known = project.definition.sources
    for name in names:
        if name not in known:
            what, expected = unknown_name("source", name, known)
            raise NotFoundError(what, expected=expected)
    found = [known[name] for name in dict.fromkeys(names)] or list(known.values())
    for source in found:
        require(project, "run", source.table)
    return found


@contextmanager
def none_taken_in(project: Project) -> Iterator[None]:
    """See that no process takes a source in meanwhile.

    Raises
    ------
    BusyError
        One does.
    """
    with ExitStack() as held:
        for source in project.definition.sources.values():
            lease = _lease(project, source)
            if not held.enter_context(lease.held()):
                raise BusyError(
                    f"process {lease.holder()} takes in {source.name!r}",
                    expected="no process that writes to the tables",
                    next_step="stop it with Ctrl-C, and start it again afterwards",
                )
        yield


def ingest_once(project: Project, names: Sequence[str] = ()) -> Sequence[Taken | None]:
    """Take in what the sources have now, each as a batch; None for one with nothing new.

    Raises
    ------
    BusyError
        Another process follows one of them.
    OnwardError
        A source cannot be read.
    """
    found = []
    for source in chosen(project, names):
        lease = _lease(project, source)
        with lease.held() as mine:
            if not mine:
                raise BusyError(
                    f"process {lease.holder()} takes in {source.name!r} already",
                    expected="one process a source",
                    next_step="let it, or stop it with Ctrl-C",
                )
            _tidy(project, source, lease)
            run = new_id(project.site)
            lease.begin(run)
            found.append(take(project.site, project.definition, source, run))
            lease.end()
    return found


def ingest_on(project: Project, names: Sequence[str], *, heard: Heard, stop: Event) -> None:
    """Follow the sources, each in a thread, until `stop` is set.

    A source that another process follows is waited for: when that process ends, however it does,
    this one goes on from there.

    Raises
    ------
    DeclarationError
        A source is not as it was declared; the others are stopped too.
    """
    sources = chosen(project, names)
    for source in sources:
        project.site.reader(source)  # readers are made here, and shared by the threads
    followers = [_Follower(project, source, heard, stop) for source in sources]
    for follower in followers:
        follower.start()
    try:
        for follower in followers:
            follower.ended.wait()
    finally:
        stop.set()
        for follower in followers:
            follower.ended.wait()
            follower.join()
    for follower in followers:
        if follower.failure is not None:
            raise follower.failure


class _Follower(Thread):
    """A thread that follows a source.

    It is waited for by `ended`, not joined: Ctrl-C in a join makes Python 3.11 believe that the
    thread has ended.
    """

    def __init__(self, project: Project, source: Source, heard: Heard, stop: Event) -> None:
        super().__init__(name=source.name, daemon=True)
        self.ended = Event()
        self.failure: BaseException | None = None
        self._work = partial(_follow, project, source, heard, stop)
        self._stop_all = stop

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.failure = error
            self._stop_all.set()
        finally:
            self.ended.set()


def _follow(project: Project, source: Source, heard: Heard, stop: Event) -> None:
    lease, tidied = _lease(project, source), False

    def busy() -> None:
        heard(Waiting(source=source.name, holder=lease.holder()))

    def tidy() -> None:
        nonlocal tidied
        _tidy(project, source, lease)
        tidied = True

    with lease.waited_for(stop, busy) as mine:
        if mine:
            follow(
                project.site,
                project.definition,
                source,
                stop=stop,
                tidy=tidy,
                begin=lease.begin,
                heard=heard,
            )
            if tidied:
                lease.end()


def _tidy(project: Project, source: Source, lease: Lease) -> None:
    """Drop what a holder before left behind when it was killed."""
    left = lease.cut_short()
    if left is not None:
        forget(project.site, source, left)
        lease.end()


def _lease(project: Project, source: Source) -> Lease:
    return Lease(project.settings.state / "leases", source.name)
