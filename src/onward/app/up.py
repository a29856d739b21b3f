"""`onward up`: the gateway, the triggers, the release and the watch loop, in one process tree."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from onward.app.access import require_run
from onward.app.gateway.kept import kept
from onward.app.gateway.serving import require_free, settle
from onward.app.load import commit_of
from onward.app.log import logging_to
from onward.app.openlineage import try_to_send
from onward.app.project import Project
from onward.core.disk import full_disk_told
from onward.core.errors import OnwardError
from onward.core.records import RunRequest, Suppressed
from onward.core.wording import counted
from onward.flow.data.features import keep_online
from onward.flow.keeping.images import prune_images
from onward.flow.keeping.upkeep import compact, sweep, sweep_due
from onward.flow.release.observe import bring_in, keep_log
from onward.flow.release.releases import champion
from onward.flow.release.routing import enact
from onward.flow.release.serving import declare
from onward.flow.run.loop import Turn, turn
from onward.flow.run.requests import waiting
from onward.flow.run.runs import changed, request
from onward.infra.memory import give_back

FOLD_S: Final = 60.0  # between two folds of the prediction log
PAUSE_S: Final = 60.0  # after an error, before the same is tried again


class Up:
    """Keeps a project going. Enter it to start the gateway, leave it to stop everything.

    Parameters
    ----------
    project
        The project; its lock is held while this runs.
    say
        Told, in a sentence each, what happens.
    """

    def __init__(self, project: Project, *, say: Callable[[str], None]) -> None:
        self._project = project
        self._say = say
        self._cut_short = True  # there may be runs that the last process did not finish
        self._held = ExitStack()
        self._paused_until = 0.0
        self._unsent_until = 0.0
        self._compact_at = 0.0
        self._fold_at = 0.0
        self._seen: tuple[object, ...] = ()

    def __enter__(self) -> Self:
        require_run(self._project)
        with ExitStack() as held:
            held.enter_context(self._project.alone())
            held.enter_context(logging_to(self._project.settings.state / "onward.log"))
            require_free(self._project.settings.gateway.host, self._project.settings.gateway.port)
            if champion(self._project.ledger, self._project.definition.model) is None:
                self._resume()
                self._first_run()
            enact(self._project.site, self._project.definition.model)
            declare(self._project.site.folders, self._project.definition)
            keep_online(self._project.site, self._project.definition)
            self._gateway = held.enter_context(
                kept(self._project.settings, access=self._project.definition.access, say=self._say)
            )
            self._held = held.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.close()

    @property
    def url(self) -> str:
        """The gateway's address."""
        return self._gateway.url

    def forever(self) -> None:
        """Turn the loop until an exception ends it, Ctrl-C's for instance.

        What it cuts short is resumed by the next `onward up` or `onward run`.
        """
        poll = self._project.settings.triggers.poll.total_seconds()
        while True:
            self.turn()
            time.sleep(poll)

    def turn(self) -> None:
        """Look once; an error is told, and the loop goes on."""
        if not self._gateway.server.alive():
            raise OnwardError(
                "the gateway has ended, and does not start again",
                next_step=f"see its log in {self._project.settings.state / 'gateway'}",
            )
        if time.monotonic() < self._paused_until:
            return
        if not self._done(self._turn):
            self._paused_until = time.monotonic() + PAUSE_S
        self._send_lineage()
        if time.monotonic() >= self._fold_at:
            self._fold_at = time.monotonic() + FOLD_S
            self._done(self._keep_up_log)
            give_back()
        self._done(self._keep_up_lake)

    def _done(self, work: Callable[[], None]) -> bool:
        """Whether it could be done; what was in the way is told, and serving goes on."""
        try:
            with full_disk_told():
                work()
        except (OnwardError, OSError) as error:
            self._say(f"error: {error}")
            self._cut_short = True  # it may have been a run that had no room to say so
            return False
        return True

    def _turn(self) -> None:
        self._resume()  # only now, so that a champion serves meanwhile
        wishes = waiting(self._project.ledger)  # before the files are looked at, which may have
        self._follow_commits(asked=bool(wishes))  # been changed just before a run was asked for
        done = turn(
            self._project.site,
            self._project.definition,
            self._project.deliver,
            wishes=wishes,
            on_data=self._project.settings.triggers.on_data,
        )
        refused = settle(self._project.site, self._gateway, self._project.definition.model)
        self._tell(done)  # what is said of a release is what the gateway serves
        if refused is not None:
            self._say(f"rolled back: the gateway refused the candidate: {refused}")
        keep_online(self._project.site, self._project.definition)

    def _keep_up_log(self) -> None:
        """Fold the prediction log, and let go what has been in the lake for long."""
        bring_in(self._project.site)
        keep_log(self._project.site, self._project.settings.gateway.log_keep)

    def _keep_up_lake(self) -> None:
        """Tidy the lake, when it is time. It takes no lock: writers are not disturbed."""
        settings, site = self._project.settings.lake, self._project.site
        if time.monotonic() >= self._compact_at:
            self._compact_at = time.monotonic() + settings.compact_every.total_seconds()
            compact(site)
        if sweep_due(site, settings.sweep_every):
            done = sweep(site, keep=settings.keep, grace=settings.grace)
            if files := sum(table.files for table in done):
                self._say(f"lake: {counted(files, 'file')} that nothing needs removed")
            self._prune_images()

    def _prune_images(self) -> None:
        keep = self._project.settings.deploy.keep_images
        done = prune_images(self._project.site, self._project.definition, newest=keep)
        if gone := sum(verdict.because is None for verdict in done.verdicts):
            self._say(f"images: {gone} that nothing names removed")

    def _send_lineage(self) -> None:
        if time.monotonic() < self._unsent_until:
            return
        failed = try_to_send(self._project)
        if failed is not None:
            self._say(f"lineage waits: {failed}")
            self._unsent_until = time.monotonic() + PAUSE_S

    def _resume(self) -> None:
        """Finish what the last process, or what was in the way a moment ago, cut short."""
        if self._cut_short:
            resumed = self._project.resume()
            self._cut_short = False
            if resumed is not None:
                self._say(f"finished run {resumed.id}: {resumed.state}")

    def _first_run(self) -> None:
        """Train the first model where there is none."""
        project = self._project
        if champion(project.ledger, project.definition.model) is None:
            self._say("no model serves yet: training the first")
            outcome = project.deliver(request(project.site, "the first model"))
            self._say(f"run {outcome.id}: {outcome.state}; {outcome.reason}")
            if outcome.state != "promoted":
                raise OnwardError(
                    f"there is no model to serve: the first run was {outcome.state}",
                    expected=outcome.reason,
                    next_step=f"`onward runs {outcome.id}` shows why",
                )

    def _follow_commits(self, *, asked: bool) -> None:
        """Train where the pipeline changed, as long as it does: a run takes its time.

        At the first look that is what changed while nobody looked.
        """
        project = self._project
        trains = project.settings.triggers.on_commit
        while (trains or asked) and self._loaded_anew():
            if trains and changed(project.ledger, project.definition):
                self._say("the pipeline changed: training")
                self._done(self._train)

    def _train(self) -> None:
        project = self._project
        outcome = project.deliver(request(project.site, "the pipeline changed", "commit"))
        self._say(f"run {outcome.id}: {outcome.state}; {outcome.reason}")

    def _loaded_anew(self) -> bool:
        """Load the pipeline again if its files or the commit changed since the last look."""
        folder = self._project.settings.folder
        files = sorted(p for kind in ("*.py", "*.sql") for p in folder.glob(kind))
        seen = (commit_of(folder), *((p, p.stat().st_mtime_ns) for p in files))
        if seen == self._seen:
            return False
        self._seen = seen
        self._project.reload()
        return True

    def _tell(self, done: Turn) -> None:
        if done.refreshed is not None:
            rows = sum(report.rows_published for report in done.refreshed.audits)
            self._say(f"data {done.refreshed.state}: {counted(rows, 'row')} published")
        if done.decision is not None and done.decision.action != "hold":
            self._say(f"release: {done.decision.action}; {done.decision.reason}")
        for breach in done.report.breaches if done.report else ():
            self._say(f"breach: {breach.detail}")
        if isinstance(done.verdict, Suppressed):
            self._say(f"no retraining: {done.verdict.reason}")
        elif isinstance(done.verdict, RunRequest):
            self._say(f"retraining: {done.verdict.reason}")
        for outcome in done.outcomes:
            self._say(f"run {outcome.id}: {outcome.state}; {outcome.reason}")
