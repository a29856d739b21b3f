"""Compute on a Ray cluster: each call a task, and in it a fresh process as on this machine.

The task starts a child by `local.LocalCompute`, so that seeds, errors and their words are the same
wherever a function runs. What functions are given by path must lie where every node sees it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from onward.core.errors import OnwardError, UnavailableError
from onward.infra.compute.call import Failure, Returned
from onward.infra.compute.local import LocalCompute

T = TypeVar("T")


class RayCompute:
    """Runs each function in a task of its own.

    Parameters
    ----------
    address
        The cluster's, as `ray.init` takes it (``auto``, ``host:port``, ``ray://host:port``); empty
        starts one on this machine.
    cpus
        How many cores each task asks for.
    seed
        What `random` and `numpy.random` start from.
    """

    def __init__(self, *, address: str = "", cpus: float = 1.0, seed: int = 0) -> None:
        self._address = address
        self._cpus = cpus
        self._seed = seed
        self._lock = threading.Lock()
        self._began = False
        self._tasks: set[Any] = set()

    def run(self, function: Callable[..., T], /, *args: Any, name: str, **kwargs: Any) -> T:
        """Run `function` in a task and return what it returns.

        Raises
        ------
        OnwardError
            As `LocalCompute.run` does; `UnavailableError` where there is no cluster, or its node
            was lost.
        """
        import cloudpickle

        ray = self._ray()
        call = cloudpickle.dumps((function, args, kwargs))
        task = ray.remote(_call).options(name=name, num_cpus=self._cpus, max_retries=0)
        running = task.remote(call, name, self._seed, tuple(sys.path))
        self._tasks.add(running)
        try:
            outcome = cloudpickle.loads(ray.get(running))
        except ray.exceptions.RayError as error:
            raise UnavailableError(
                f"{name}: the task was lost: {type(error).__name__}",
                expected="a cluster whose nodes stay",
                next_step="see `ray status`; the same call may be made again",
            ) from error
        finally:
            self._tasks.discard(running)
        if isinstance(outcome, Failure):
            assert outcome.error is not None
            raise outcome.error
        returned: T = outcome.value
        return returned

    def close(self) -> None:
        """End what is running, and leave the cluster; one that this process started ends."""
        with self._lock:
            if self._began:
                import ray

                for task in tuple(self._tasks):
                    ray.cancel(task, force=True)
                ray.shutdown()
                self._began = False

    def _ray(self) -> Any:
        try:
            import ray
        except ModuleNotFoundError:
            raise OnwardError(
                "Ray is not installed",
                expected="[compute] kind = 'ray' with the package ray",
                next_step="pip install 'onward[ray]'",
            ) from None
        with self._lock:
            if not self._began:
                local: dict[str, Any] = {"include_dashboard": False}
                try:
                    ray.init(
                        **({"address": self._address} if self._address else local),
                        ignore_reinit_error=True,
                        log_to_driver=False,
                        configure_logging=False,
                    )
                except (ConnectionError, RuntimeError) as error:
                    raise UnavailableError(
                        f"no Ray cluster answers at {self._address or 'this machine'}: {error}",
                        expected="[compute] address, as `ray.init` takes it",
                    ) from None
                self._began = True
        return ray


def _call(call: bytes, name: str, seed: int, path: tuple[str, ...]) -> bytes:
    """Carry a call out on the node: what came of it, as bytes that no vendor has to read."""
    import cloudpickle

    sys.path[:] = [*sys.path, *(p for p in path if p not in sys.path and Path(p).exists())]
    outcome: Returned | Failure
    try:
        function, args, kwargs = cloudpickle.loads(call)
        outcome = Returned(LocalCompute(seed=seed).run(function, *args, name=name, **kwargs))
    except OnwardError as error:
        outcome = Failure(error=error)
    found: bytes = cloudpickle.dumps(outcome)
    return found
