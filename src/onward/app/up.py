"""`onward up`: the gateway, the triggers, the release and the watch loop, in one process tree."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from math import inf
from types import TracebackType
from typing import Final, Self

from onward.app.access import require_run
from onward.app.chore import Chore
from onward.app.gateway.kept import kept
from onward.app.gateway.serving import require_free, settle
from onward.app.log import logging_to
from onward.app.meanwhile import meanwhile
from onward.app.openlineage import send
from onward.app.pipeline_files import PipelineFiles
from onward.app.project import Project
from onward.core.errors import OnwardError
from onward.core.records import RunRequest, Suppressed
from onward.core.wording import counted
from onward.flow.data.features import keep_online
from onward.flow.data.windows import catch_up
from onward.flow.keeping.images import prune_images
from onward.flow.keeping.upkeep import compact, sweep, sweep_due
from onward.flow.outcome import RunOutcome
from onward.flow.release.observe import bring_in, keep_log
from onward.flow.release.releases import champion
from onward.flow.release.routing import enact
from onward.flow.release.serving import declare
from onward.flow.run.loop import Turn, judge_release, take_in, watch_production
from onward.flow.run.requests import waiting
from onward.flow.run.runs import changed, request
from onward.infra.memory import give_back

FOLD_S: Final = 60.0  # between two folds of the prediction log


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
        self._pause_s = inf
        self._poll_s = project.settings.triggers.poll.total_seconds()
        self._wishes: Sequence[RunRequest] = ()
        self._files = PipelineFiles(project)
        self._looking = Chore(self._look_at_files, say)
        self._loading = Chore(self._files.load, say)
        self._resuming = Chore(self._resume, say)
        self._running = Chore(lambda: self._delivering(self._run), say)
        self._moving = Chore(lambda: catch_up(project.site, project.definition), say)
        self._judging = Chore(self._judge, say)
        self._watching = Chore(lambda: self._delivering(self._watch), say)
        self._keeping = Chore(self._keep_log, say, every_s=FOLD_S)
        self._meanwhile: Sequence[Chore] = ()  # nothing is judged before the gateway serves
        every_s = project.settings.lake.compact_every.total_seconds()
        self._upkeep = (
            Chore(lambda: keep_online(project.site, project.definition), say),
            Chore(self._send_lineage, say, prefix="lineage waits"),
            self._keeping,
            Chore(give_back, say, every_s=FOLD_S),
            Chore(lambda: compact(project.site), say, every_s=every_s),
            Chore(self._sweep, say),
        )

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
            self._meanwhile = (self._judging, self._keeping)
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
        while True:
            self.turn()
            time.sleep(min(self._poll_s, self._pause_s))

    def turn(self) -> None:
        """Look once. What is in the way of one thing is told; everything else goes on."""
        if not self._gateway.server.alive():
            raise OnwardError(
                "the gateway has ended, and does not start again",
                next_step=f"see its log in {self._project.settings.state / 'gateway'}",
            )
        self._pause_s = inf
        self._follow_files()
        able = self._do(self._resuming)  # only now, so that a champion serves meanwhile
        if able:
            self._do(self._running)
        self._do(self._moving)
        self._do(self._judging)
        if able:  # it may train
            self._do(self._watching)
        for chore in self._upkeep:
            self._do(chore)

    def _do(self, chore: Chore) -> bool:
        """Do it if it is due; return whether nothing is in its way."""
        if chore.look():
            return True
        self._pause_s = min(self._pause_s, chore.wait_s)
        return False

    def _follow_files(self) -> None:
        """Have the pipeline be what its files say; while they cannot be loaded, what it was."""
        if self._do(self._looking) and not self._files.loaded:
            self._do(self._loading)

    def _look_at_files(self) -> None:
        self._wishes = ()
        wishes = waiting(self._project.ledger)  # before the files are looked at, which may have
        if self._trains or wishes:  # been changed just before a run was asked for
            if self._files.changed():
                for chore in (self._loading, self._resuming, self._running):
                    chore.soon()  # somebody may have mended what was in its way
            self._wishes = wishes

    @property
    def _trains(self) -> bool:
        """Whether a change of the pipeline calls for training."""
        return self._project.settings.triggers.on_commit

    def _run(self) -> None:
        """Train where the pipeline changed, also while nobody looked; do what others wish."""
        project = self._project
        loaded = self._files.loaded
        if self._trains and loaded and changed(project.ledger, project.definition):
            self._say("the pipeline changed: training")
            outcome = self._deliver(request(project.site, "the pipeline changed", "commit"))
            self._tell(Turn(outcomes=(outcome,)))
        done = take_in(
            project.site,
            project.definition,
            self._deliver,
            wishes=self._wishes if loaded else (),
            on_data=project.settings.triggers.on_data,
        )
        self._tell(done)

    def _deliver(self, wish: RunRequest) -> RunOutcome:
        with self._going_on():
            return self._project.deliver(wish)

    def _going_on(self) -> AbstractContextManager[None]:
        """Have releases judged, and the log folded, as long as a run is under way."""
        return meanwhile(self._meanwhile, self._say, every_s=self._poll_s)

    def _judge(self) -> None:
        site, model = self._project.site, self._project.definition.model
        done = judge_release(site, self._project.definition)
        refused = settle(site, self._gateway, model)
        self._tell(done)  # what is said of a release is what the gateway serves
        if refused is not None:
            self._say(f"rolled back: the gateway refused the candidate: {refused}")

    def _watch(self) -> None:
        project = self._project
        self._tell(watch_production(project.site, project.definition, self._deliver))

    def _delivering(self, work: Callable[[], None]) -> None:
        """Do what may run the pipeline: an error may end a run that has no room to say so."""
        try:
            work()
        except Exception:
            self._cut_short = True
            raise

    def _keep_log(self) -> None:
        """Fold the prediction log, and let go what has been in the lake for long."""
        bring_in(self._project.site)
        keep_log(self._project.site, self._project.settings.gateway.log_keep)

    def _sweep(self) -> None:
        """Tidy the lake and the images, when it is time. It takes no lock: writers go on."""
        settings, site = self._project.settings.lake, self._project.site
        if not sweep_due(site, settings.sweep_every):
            return
        done = sweep(site, keep=settings.keep, grace=settings.grace)
        if files := sum(table.files for table in done):
            self._say(f"lake: {counted(files, 'file')} that nothing needs removed")
        keep = self._project.settings.deploy.keep_images
        pruned = prune_images(site, self._project.definition, newest=keep)
        if gone := sum(verdict.because is None for verdict in pruned.verdicts):
            self._say(f"images: {gone} that nothing names removed")

    def _send_lineage(self) -> None:
        if self._project.settings.lineage.openlineage:
            send(self._project)

    def _resume(self) -> None:
        """Finish what the last process, or what was in the way a moment ago, cut short."""
        if self._cut_short:
            with self._going_on():
                resumed = self._project.resume()
            self._cut_short = False
            if resumed is not None:
                self._say(f"finished run {resumed.id}: {resumed.state}")

    def _first_run(self) -> None:
        """Train the first model where there is none."""
        project = self._project
        if champion(project.ledger, project.definition.model) is None:
            self._say("no model serves yet: training the first")
            outcome = self._deliver(request(project.site, "the first model"))
            self._say(f"run {outcome.id}: {outcome.state}; {outcome.reason}")
            if outcome.state != "promoted":
                raise OnwardError(
                    f"there is no model to serve: the first run was {outcome.state}",
                    expected=outcome.reason,
                    next_step=f"`onward runs {outcome.id}` shows why",
                )

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
