"""Several workers on one port: starting them, and keeping them.

Each slot has a socket of its own (``SO_REUSEPORT``: the kernel shares connections out), and the
supervisor holds them all. A worker that dies leaves its connections waiting, not refused: a
neighbour takes them until there is another. One that hangs is ended. SIGHUP renews the workers one
by one, each before the one whose place it takes has gone. No request passes through here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from onward.stages.serve.gateway.metrics.board import Board, Retired, lasting
from onward.stages.serve.gateway.metrics.exposition import merged
from onward.stages.serve.gateway.process.local import announce, withdraw
from onward.stages.serve.gateway.process.place import READY, STACKS
from onward.stages.serve.gateway.protocol.listener import bound
from onward.stages.serve.gateway.protocol.tls import read_pair
from onward.stages.serve.gateway.settings import GatewayConfig
from onward.stages.serve.gateway.words import say

PATIENCE_S: Final = (0.1, 10.0)
"""How long the supervisor waits before it starts a worker again: at first, and at most."""

LOOK_S: Final = 0.25
"""Seconds between two looks at how the workers are."""

ASLEEP_S: Final = 1.0
"""A look that comes so late says that the machine slept, and the workers with it."""

TELLING_S: Final = 0.25
"""How long a worker that hangs has to write where its threads are."""

STEADY_S: Final = 30.0
"""A worker that lived as long is started again as if it had never failed."""


@dataclass(slots=True, eq=False)
class Process:
    """A worker's process; `heard` is when its event loop was last seen to turn."""

    id: str
    slot: int
    process: asyncio.subprocess.Process
    line: asyncio.StreamWriter
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    born: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    hung: bool = False

    def say(self, words: str) -> None:
        """Tell the worker something; one that is gone need not hear it."""
        if not self.line.is_closing():
            self.line.write(words.encode() + b"\n")


@dataclass(slots=True, eq=False)
class Slot:
    """A place for one worker: who serves it, and who stands in while nobody does."""

    number: int
    serving: Process | None = None
    standing_in: Process | None = None
    failures: int = 0
    renewing: bool = False


class Supervisor:
    """Keeps a gateway's workers."""

    def __init__(self, config: GatewayConfig, file: Path) -> None:
        self._config = config
        self._file = file
        self._state = Path(config.state)
        self._state.mkdir(parents=True, exist_ok=True)
        self._board = Board(self._state)
        self._slots = [Slot(number) for number in range(config.workers)]
        self._listeners: list[socket.socket] = []
        self._processes: set[Process] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._renewing = asyncio.Lock()
        self._looked = time.monotonic()

    async def run(self) -> int:
        """Keep the workers until told to stop; return the exit status.

        It is that of the first worker that could not start, where the gateway never came up.

        Raises
        ------
        BusyError
            The port is taken.
        DeclarationError
            There is no certificate to show.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._begin(self._renew()))
        self._board.clear()
        tls = self._config.tls
        if tls is not None:
            read_pair(tls)  # refused once, and not by each worker
        self._listeners = bound(self._config.host, self._config.port, self._config.workers)
        try:
            failed = await self._fill()
            if failed is not None:
                return failed
            port = self._listeners[0].getsockname()[1]
            announce(self._state, self._config.host, port, encrypted=tls is not None)
            await self._until_stopped()
            return 0
        finally:
            withdraw(self._state)
            await self._end()

    async def _fill(self) -> int | None:
        """Start the first worker, then the others; return the status of one that could not."""
        for slots in (self._slots[:1], self._slots[1:]):
            started = await asyncio.gather(*(self._start(slot) for slot in slots))
            for process in started:
                if not process.ready.is_set() and not self._stopping.is_set():
                    return process.process.returncode or 1
        return None

    async def _until_stopped(self) -> None:
        parent = self._config.parent
        while not self._stopping.is_set():
            if parent is not None and os.getppid() != parent:
                say(f"process {parent}, which started this gateway, is gone")
                return
            self._look()
            try:
                await asyncio.wait_for(self._stopping.wait(), LOOK_S)
            except TimeoutError:
                continue

    async def _end(self) -> None:
        """Have every worker drain, and kill those that do not end in time."""
        self._stopping.set()
        for process in self._processes:
            if process.process.returncode is None:
                process.process.terminate()
        ended = [asyncio.create_task(p.ended.wait()) for p in self._processes]
        if ended:
            _, late = await asyncio.wait(ended, timeout=self._config.drain_s + 3)
            for process in list(self._processes) if late else ():
                process.process.kill()
                await process.ended.wait()
        for listener in self._listeners:
            listener.close()

    # ------------------------------------------------------------ one worker

    async def _start(self, slot: Slot) -> Process:
        """Start a worker for a slot, and wait until it serves, or has ended."""
        ours, theirs = socket.socketpair()
        listeners = [listener.fileno() for listener in self._listeners]
        name = f"{slot.number}-{time.time_ns():x}"
        made = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "onward.stages.serve.gateway", "--config", str(self._file),
            "--id", name, "--slot", str(slot.number), "--control", str(theirs.fileno()),
            "--listeners", *map(str, listeners),
            stdin=asyncio.subprocess.DEVNULL, pass_fds=[*listeners, theirs.fileno()],
        )  # fmt: skip
        theirs.close()
        reader, line = await asyncio.open_unix_connection(sock=ours)
        process = Process(name, slot.number, made, line)
        self._processes.add(process)
        self._begin(self._watch(process))
        said = await reader.readline()
        if said == READY:
            process.ready.set()
            self._begin(_hear(process, reader))
            slot.serving = process
            self._cover()
        else:
            await process.ended.wait()
        return process

    async def _watch(self, process: Process) -> None:
        """Wait for a worker's end; one that still had its slot died, and is started again."""
        status = await process.process.wait()
        process.line.close()
        self._processes.discard(process)
        slot = self._slots[process.slot]
        died = slot.serving is process and not self._stopping.is_set()
        self._retire(process, died=died)
        if slot.serving is process:
            slot.serving = None
        self._cover(without=process)
        process.ended.set()
        if died and not slot.renewing:
            lived = time.monotonic() - process.born
            slot.failures = 1 if lived > STEADY_S else slot.failures + 1
            say(f"worker {process.slot} (process {process.process.pid}) ended: {_how(status)}")
            await self._again(slot)

    def _look(self) -> None:
        """End the workers whose event loops have stood still for too long."""
        now = time.monotonic()
        slept = now - self._looked - LOOK_S
        self._looked = now
        for process in self._processes if self._config.limits.hang_s else ():
            if slept > ASLEEP_S:
                process.heard += slept
            still = now - process.heard
            if process.ready.is_set() and not process.hung and still > self._config.limits.hang_s:
                process.hung = True
                self._begin(_end_hung(process, still))

    async def _again(self, slot: Slot) -> None:
        """Start a slot's worker until one serves, more and more patiently."""
        while not self._stopping.is_set():
            first, most = PATIENCE_S
            pause = min(most, first * 2 ** min(slot.failures, 10))
            try:
                await asyncio.wait_for(self._stopping.wait(), pause)
            except TimeoutError:
                process = await self._start(slot)
                if process.ready.is_set():
                    say(f"worker {slot.number} serves again (process {process.process.pid})")
                    return
                slot.failures += 1

    def _retire(self, process: Process, *, died: bool) -> None:
        told, kept = self._board.find(process.id), self._board.retired()
        restarts = dict(kept.restarts)
        if died:
            restarts[process.slot] = restarts.get(process.slot, 0) + 1
        samples = kept.samples if told is None else merged([kept.samples, lasting(told.samples)])
        ids = [*kept.ids[-100:], process.id]
        self._board.retire(Retired(ids=ids, samples=samples, restarts=restarts))

    # ------------------------------------------------------------ all of them

    def _cover(self, *, without: Process | None = None) -> None:
        """See that every slot's connections are taken: by its worker, or by a neighbour.

        `without` is a worker that takes none any more.
        """
        able = [s.serving for s in self._slots if s.serving is not None]
        for slot in self._slots:
            if slot.standing_in is without:
                slot.standing_in = None
            if slot.serving is not None and slot.standing_in is not None:
                slot.standing_in.say(f"release {slot.number}")
                slot.standing_in = None
            elif slot.serving is None and slot.standing_in is None and able:
                slot.standing_in = able[slot.number % len(able)]
                slot.standing_in.say(f"adopt {slot.number}")

    async def _renew(self) -> None:
        """Replace every worker by a new one, one by one, each before the old one leaves."""
        if self._renewing.locked():
            return
        async with self._renewing:
            for slot in self._slots:
                old = slot.serving
                if old is None or self._stopping.is_set():
                    continue
                slot.renewing = True
                new = await self._start(slot)
                slot.renewing = False
                if not new.ready.is_set():
                    say(f"worker {slot.number} is not renewed: the new one did not start")
                    if slot.serving is None:
                        self._begin(self._again(slot))
                    return
                self._cover(without=old)
                if old.process.returncode is None:
                    old.process.terminate()
                await old.ended.wait()
            say("every worker is new")

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _hear(process: Process, reader: asyncio.StreamReader) -> None:
    """Note when a worker was last heard of, until its end."""
    process.heard = time.monotonic()
    async for _ in reader:
        process.heard = time.monotonic()


async def _end_hung(process: Process, still: float) -> None:
    """Have a worker write where its threads are, and end it."""
    pid = process.process.pid
    say(f"worker {process.slot} (process {pid}) has stood still for {still:.1f} s; its threads:")
    with contextlib.suppress(ProcessLookupError):
        process.process.send_signal(STACKS)
        await asyncio.sleep(TELLING_S)
        process.process.kill()


def _how(status: int) -> str:
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name
