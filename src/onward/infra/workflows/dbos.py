"""Durable workflows by DBOS on SQLite, in this process: no server, no worker, no scheduler.

Left to itself DBOS takes up every unfinished workflow as soon as it is launched, in a thread,
while the caller may be asking for the same one. It looks for them by application version; so
each launch here has a version of its own, and nothing runs but what `run` was asked for.
"""

from __future__ import annotations

import pickle
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from filelock import FileLock, Timeout

from onward.core.errors import BusyError, OnwardError
from onward.infra.database import open_database

if TYPE_CHECKING:
    from sqlalchemy import Engine

T = TypeVar("T")
R = TypeVar("R")

_UNFINISHED: Final = ["PENDING", "ENQUEUED", "CANCELLED"]
_RUNNING: Final = ("PENDING", "ENQUEUED")
_PATIENCE_S: Final = 30.0  # until DBOS takes up a resumed workflow; it looks once a second
_RECORD_S: Final = 5.0  # until DBOS has recorded how it ended, if it can
_POLL_S: Final = 0.02
_SLICE_S: Final = 0.2


class DbosWorkflows(Generic[T]):
    """One body's durable workflows, kept in the SQLite file at `path`.

    Parameters
    ----------
    path
        The file that DBOS keeps its records in; made if it is missing.
    name
        The body's name in those records.
    body
        ``body(steps, *args)``. What it does outside its steps is done again on every resume, so
        it is quick there, and the same each time: steps are matched by order and name. Arguments,
        steps' results and errors are pickled: records, never connections.

    A workflow is resumed with the arguments that it was begun with. It runs in the caller's
    thread when it is new, and in a thread of DBOS's when it is resumed; Ctrl-C ends the first
    where it stands and the second after the step under way. Either is resumed by the next `run`.
    """

    def __init__(self, path: Path, *, name: str, body: Callable[..., T]) -> None:
        self._path = path
        self._name = name
        self._body = body
        self._one = threading.Lock()
        self._lock = FileLock(f"{path}.lock", timeout=0)
        self._version = ""
        self._engine: Engine | None = None
        self._entry: Callable[..., T] | None = None
        self._resumed: _Resumed[T] | None = None

    # ------------------------------------------------------------ the port

    def run(self, workflow_id: str, *args: Any) -> T:
        """Run the body to its end under `workflow_id`, and return its result.

        A new id begins. An id that was cut short goes on after the last step with a result. An
        id that failed goes on with the step that raised: what it asked for (room on the disk, a
        mended file) may be there by now. An id that is finished returns what it returned.

        Raises
        ------
        BusyError
            Another workflow of this file is running, here or in another process.
        Exception
            Whatever the body raised.
        """
        with self._alone():
            entry = self._launched()
            from dbos import DBOS, SetWorkflowID

            status = DBOS.get_workflow_status(workflow_id)
            if status is None:
                with SetWorkflowID(workflow_id):
                    return entry(*args)
            if status.status == "SUCCESS":
                return cast("T", DBOS.get_result(workflow_id))
            return self._resume(workflow_id, status.status)

    def pending(self) -> Sequence[str]:
        """Return the ids of workflows that were begun and cut short, oldest first.

        One that ended with an error is finished, though `run` would try it again.
        """
        if not self._path.exists():
            return ()
        self._launched()
        from dbos import DBOS

        found = DBOS.list_workflows(
            status=_UNFINISHED, name=self._name, load_input=False, load_output=False
        )
        return tuple(status.workflow_id for status in found)

    def close(self) -> None:
        """End DBOS's threads and let go of the file; `run` opens it again."""
        with _launching:
            self._close()

    # ------------------------------------------------------------ running

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._one.acquire(blocking=False):
            raise self._busy("this process")
        try:
            if self._resumed is not None and not self._resumed.outcome.done():
                raise self._busy("this process")  # interrupted, and its last step not yet over
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock:
                self._resumed = None
                yield
        except Timeout:
            raise self._busy("another process") from None
        finally:
            self._one.release()

    def _busy(self, who: str) -> BusyError:
        return BusyError(
            f"{who} is running a {self._name!r} workflow",
            expected="one at a time",
            next_step="wait until it has ended",
        )

    def _resume(self, workflow_id: str, status: str) -> T:
        from dbos import DBOS

        if status in _RUNNING:  # so its process was killed: we hold the lock
            DBOS.cancel_workflow(workflow_id)
        steps = DBOS.list_workflow_steps(workflow_id)
        done = steps[:-1] if steps and steps[-1]["error"] is not None else steps
        start = done[-1]["function_id"] + 1 if done else 1
        resumed = self._resumed = _Resumed(workflow_id)
        DBOS.rewind_workflow(workflow_id, start_step=start, application_version=self._version)
        try:
            return resumed.wait()
        except BaseException:
            resumed.stop.set()
            raise

    def _execute(self, *args: Any) -> T:
        """Run the body, as DBOS calls it: in `run`'s thread, or in its own for a resumed one."""
        from dbos import DBOS

        resumed = self._resumed
        if resumed is None or resumed.workflow_id != DBOS.workflow_id:
            return self._body(self._step, *args)
        return resumed.carry(lambda: self._body(self._step, *args))

    def _step(self, name: str, function: Callable[..., R], /, *args: Any) -> R:
        from dbos import DBOS

        stop = self._resumed.stop if self._resumed is not None else None
        if stop is not None and stop.is_set():
            raise _InterruptedError
        try:
            return DBOS.run_step({"name": name}, _portable, name, function, args)
        except Exception:
            if stop is not None and stop.is_set():  # what it waited for was ended with the caller
                raise _InterruptedError from None
            raise

    # ------------------------------------------------------------ DBOS

    def _launched(self) -> Callable[..., T]:
        global _holder
        with _launching:
            if self._entry is None:
                if _holder is not None:
                    _holder._take_leave()  # noqa: SLF001 (DBOS is one per process)
                self._entry = self._launch()
                _holder = self
            return self._entry

    def _launch(self) -> Callable[..., T]:
        from dbos import DBOS

        self._engine = open_database(self._path)
        self._version = secrets.token_hex(8)
        DBOS(
            config={
                "name": "onward",
                "system_database_engine": self._engine,
                "system_database_url": str(self._engine.url),
                "application_version": self._version,
                "executor_id": "onward",
                "log_level": "CRITICAL",  # errors come out of `run`
                "notification_listener_polling_interval_sec": 0.1,  # it sleeps so long at the end
            }
        )
        entry = DBOS.workflow(name=self._name)(self._execute_as_function())
        DBOS.launch()
        return entry

    def _execute_as_function(self) -> Callable[..., T]:
        # DBOS marks what it registers, which a bound method does not allow.
        def execute(*args: Any) -> T:
            return self._execute(*args)

        return execute

    def _take_leave(self) -> None:
        if not self._one.acquire(blocking=False):
            raise self._busy("this process")
        try:
            self._close()
        finally:
            self._one.release()

    def _close(self) -> None:
        global _holder
        if self._engine is None:
            return
        from dbos import DBOS

        DBOS.destroy(destroy_registry=True)
        self._engine.dispose()
        self._engine = self._entry = _holder = None


_launching: Final = threading.RLock()
_holder: DbosWorkflows[Any] | None = None  # whose DBOS this process's only one is


class _InterruptedError(BaseException):
    """Ends a body whose caller has been interrupted; no `except Exception` keeps it."""


class _Resumed(Generic[T]):
    """A workflow that DBOS carries on in a thread, and the thread that waits for it."""

    def __init__(self, workflow_id: str) -> None:
        self.workflow_id = workflow_id
        self.outcome: Future[T] = Future()
        self.stop = threading.Event()
        self._began = threading.Event()

    def carry(self, body: Callable[[], T]) -> T:
        """Run the body and keep how it ended."""
        self._began.set()
        try:
            result = body()
        except BaseException as error:
            self.outcome.set_exception(error)
            raise
        self.outcome.set_result(result)
        return result

    def wait(self) -> T:
        """Return the body's result, or raise its error, when DBOS has recorded it."""
        if not self._began.wait(_PATIENCE_S):
            raise BusyError(
                f"{self.workflow_id} was not taken up within {_PATIENCE_S:g} s",
                next_step="try again; if it stays so, look at the disk that holds workflows.db",
            )
        # In slices: Ctrl-C that comes just before a wait for ever begins would not end it.
        while not wait([self.outcome], timeout=_SLICE_S).done:
            pass
        try:
            result = self.outcome.result()
        except Exception:
            self._await_recorded()
            raise
        self._await_recorded()
        return result

    def _await_recorded(self) -> None:
        # An ending that is not recorded is come to again by the next `run`: no reason to fail.
        from dbos import DBOS

        deadline = time.monotonic() + _RECORD_S
        while time.monotonic() < deadline:
            status = DBOS.get_workflow_status(self.workflow_id)
            if status is None or status.status not in _RUNNING:
                return
            time.sleep(_POLL_S)


def _portable(name: str, function: Callable[..., R], args: tuple[Any, ...]) -> R:
    """Call a step; an error that could not be read back from the records becomes one that can."""
    try:
        return function(*args)
    except OnwardError:
        raise
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            raise OnwardError(
                f"step {name!r} failed with {type(error).__name__}: {error}"
            ) from error
        raise
