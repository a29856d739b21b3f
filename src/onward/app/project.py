"""A project: the user's folder, opened. The command line and the notebook both use this."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from onward.app.access import require, require_run
from onward.app.load import load_definition
from onward.app.settings.sections import Settings
from onward.app.settings.sources import read_settings
from onward.app.site import open_dbt, open_ledger, open_site
from onward.core.clock import Clock, SystemClock
from onward.core.errors import BusyError
from onward.core.ports import Ledger, Workflows
from onward.flow.progress import Listener, silent
from onward.flow.run.runs import RunEntry, called_for, request, runs, unfinished

if TYPE_CHECKING:
    from onward.app.quarantine import Quarantined
    from onward.app.questions import RunDetail
    from onward.core.records import Candidate, RunRequest
    from onward.flow.outcome import RunOutcome
    from onward.flow.pipeline.definition import Definition
    from onward.flow.release.releases import Release
    from onward.flow.site import Site


def open_project(
    folder: Path,
    *,
    clock: Clock | None = None,
    tell: Listener = silent,
    flags: Mapping[str, Any] | None = None,
) -> Project:
    """Open the project in `folder`; nothing is loaded before it is asked for.

    Raises
    ------
    OnwardError
        There is no project there, or its settings are at fault.
    """
    return Project(read_settings(folder, flags=flags), clock=clock or SystemClock(), tell=tell)


class Project:
    """A user's project and its state; every part opens when it is first needed."""

    def __init__(self, settings: Settings, *, clock: Clock, tell: Listener) -> None:
        self.settings = settings
        self.clock = clock
        self._tell = tell

    # ------------------------------------------------------------ parts

    @cached_property
    def definition(self) -> Definition:
        """What the pipeline file declares."""
        from onward.flow.run.deliver import check

        definition = load_definition(
            self.settings.pipeline, manifest=open_dbt(self.settings).manifest
        )
        check(definition)
        return definition

    @cached_property
    def ledger(self) -> Ledger:
        """What happened."""
        return open_ledger(self.settings)

    @cached_property
    def site(self) -> Site:
        """Every port, in the form that the settings choose."""
        return open_site(self.settings, clock=self.clock, ledger=self.ledger, tell=self._tell)

    @cached_property
    def workflows(self) -> Workflows:
        """Durable runs."""
        from onward.flow.run.deliver import deliver
        from onward.infra.workflows.dbos import DbosWorkflows

        return DbosWorkflows(
            self.settings.state / "workflows.db",
            name="deliver",
            body=lambda steps, wish: deliver(steps, self.site, self.definition, wish),
        )

    def reload(self) -> None:
        """Read the pipeline file again; if it is at fault, the definition stays as it was."""
        from onward.flow.run.deliver import check

        definition = load_definition(
            self.settings.pipeline, manifest=open_dbt(self.settings).manifest
        )
        check(definition)
        self.__dict__["definition"] = definition

    def close(self) -> None:
        """End what is running, and let go of what was opened."""
        site: Site | None = self.__dict__.pop("site", None)
        workflows: Workflows | None = self.__dict__.pop("workflows", None)
        if site is not None:
            site.compute.close()
        if workflows is not None:
            workflows.close()
        if site is not None:
            site.online.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------ doing

    def run(self, *, force: bool = False, reason: str = "asked for") -> RunOutcome | None:
        """Take the pipeline once round; None if nothing is new.

        A run that was cut short is finished first. With `force` a model is trained even if
        neither data nor code changed.

        Raises
        ------
        DeniedError
            The caller may not run the model, or not read what it is built on.
        BusyError
            Another process runs this project.
        """
        require_run(self)
        with self.alone():
            resumed = self.resume()
            why = called_for(self.site, self.definition)
            if why is None and not force:
                return resumed
            return self.deliver(request(self.site, why or reason))

    def resume(self) -> RunOutcome | None:
        """Finish the runs that were cut short; return the last one's outcome, None without any."""
        outcome = None
        for entry in unfinished(self.ledger):
            outcome = self.deliver(entry.request)
        return outcome

    def deliver(self, wish: RunRequest) -> RunOutcome:
        """Carry out one request durably; the same request again returns the same outcome."""
        from onward.app.cancel import ending_when_cancelled

        with ending_when_cancelled(self, wish.id):
            outcome: RunOutcome = self.workflows.run(wish.id, wish)
        return outcome

    def experiment(
        self, *, trials: int = 20, heard: Callable[[int, float | None], None] | None = None
    ) -> Candidate:
        """Search the model's hyperparameters; later runs train with what it chose.

        `heard` is called after each trial with how many are done and the best score yet.
        """
        from onward.app.experiment import search

        return search(self, trials=trials, heard=heard)

    def rollback(self, reason: str = "asked for") -> Release:
        """Take the candidate out of traffic, or return to the champion before; at once.

        Raises
        ------
        DeniedError
            The caller may not promote.
        NotFoundError
            Nothing was released, or there is no earlier champion.
        """
        from onward.flow.release.loop import rollback

        by = require(self, "promote", self.definition.model, waits=False).name
        return rollback(self.site, self.definition.model, reason, by=by)

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Predict through the gateway: the one that runs, or one started for this call."""
        from onward.app.gateway.calling import calling, serve_as_declared

        serve_as_declared(self)
        with calling(self.settings, self.definition.model) as client:
            return client.predict(rows)

    # ------------------------------------------------------------ asking

    def runs(self, *, limit: int | None = None) -> Sequence[RunEntry]:
        """Return the runs, newest first."""
        return runs(self.ledger, limit=limit)

    def run_detail(self, run_id: str) -> RunDetail:
        """Return one run with its audits, metrics and gates."""
        from onward.app.questions import run_detail

        return run_detail(self.ledger, run_id)

    def quarantine(self, dataset: str | None = None, *, limit: int = 10) -> Sequence[Quarantined]:
        """Return the rows that wait in quarantine, by dataset and rule."""
        from onward.app.quarantine import show

        return show(self, dataset, limit=limit)

    def sample(self, count: int = 1) -> Sequence[Mapping[str, Any]]:
        """Return held-out rows that the champion was evaluated on, to try it with."""
        from onward.app.questions import sample

        require(self, "read", "training")
        return sample(self.ledger, self.definition.model, count)

    def models(self) -> Sequence[Any]:
        """Return the registered versions, newest first."""
        from onward.flow.release.versions import versions

        return versions(self.ledger, self.definition.model)

    def lineage(self, ref: str) -> Any:
        """Trace a ref back to commit, data and approver; a prediction by its id or ref."""
        from onward.app.predictions import look_up
        from onward.flow.lineage import lineage

        return lineage(self.ledger, partial(look_up, self), ref)

    def status(self) -> Any:
        """Return how the project stands: champion, release, runs, data, monitors, gateway."""
        from onward.app.status import status

        return status(self)

    # ------------------------------------------------------------ the lock

    @contextmanager
    def alone(self, *, timeout_s: float = 0.0) -> Iterator[None]:
        """Hold the project's lock: one process at a time changes its state.

        Raises
        ------
        BusyError
            Another process holds it.
        """
        import os

        from filelock import FileLock, Timeout

        self.settings.state.mkdir(parents=True, exist_ok=True)
        file = self.settings.state / "lock"
        holder = self.settings.state / "lock.holder"
        try:
            with FileLock(file, timeout=timeout_s):
                holder.write_text(f"{os.getpid()}\n")
                yield
        except Timeout:
            pid = holder.read_text().strip() if holder.exists() else "?"
            raise BusyError(
                f"process {pid} is running the project in {self.settings.folder}",
                expected="one process at a time",
                next_step="wait for it, or stop it with Ctrl-C; `onward status` shows what it does",
            ) from None
