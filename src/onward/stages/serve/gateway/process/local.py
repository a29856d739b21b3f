"""Starting gateways as processes of their own, and ending them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from onward.core.errors import BusyError, CorruptError, DeclarationError, OnwardError
from onward.core.files import write_whole
from onward.core.ports import Server
from onward.core.records import ImageRef
from onward.stages.serve.gateway.settings import Factory, GatewayConfig

ADDRESS: Final = "address"
"""The file in a gateway's state folder that says where it listens."""

_KINDS: Final = {kind.exit_code: kind for kind in (DeclarationError, BusyError, CorruptError)}


class Address(msgspec.Struct, frozen=True):
    """Where a gateway listens, and the process that does."""

    url: str
    pid: int


def read_address(state: Path) -> Address | None:
    """Return where the gateway of this state folder listens; None if none does."""
    try:
        found = msgspec.json.decode((state / ADDRESS).read_bytes(), type=Address)
        os.kill(found.pid, 0)
    except (FileNotFoundError, ProcessLookupError, msgspec.DecodeError):
        return None
    return found


def announce(state: Path, host: str, port: int, *, encrypted: bool = False) -> None:
    """Say where the gateway of this state folder, which is this process, listens."""
    scheme = "https" if encrypted else "http"
    shown = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 (compared, not bound)
    shown = f"[{shown}]" if ":" in shown else shown
    address = Address(url=f"{scheme}://{shown}:{port}", pid=os.getpid())
    write_whole(state / ADDRESS, msgspec.json.encode(address))


def withdraw(state: Path) -> None:
    """Say that nothing listens any more."""
    (state / ADDRESS).unlink(missing_ok=True)


class LocalServer:
    """A gateway that this process started."""

    def __init__(self, process: subprocess.Popen[bytes], address: Address, drain_s: float) -> None:
        self._process = process
        self._address = address
        self._drain_s = drain_s

    @property
    def url(self) -> str:
        return self._address.url

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """Drain and end it; one that does not end in its drain time and 5 s more is killed."""
        self._process.terminate()
        try:
            self._process.wait(self._drain_s + 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start_gateway(config: GatewayConfig, *, timeout_s: float = 60.0) -> LocalServer:
    """Start a gateway and wait until it is ready; what it says goes to ``gateway.log``.

    Raises
    ------
    OnwardError
        It did not start, with its own words: `BusyError` for a taken port, `CorruptError` for an
        image that cannot be used.
    """
    state = Path(config.state)
    state.mkdir(parents=True, exist_ok=True)
    (state / ADDRESS).unlink(missing_ok=True)
    file = state / "gateway.json"
    file.unlink(missing_ok=True)
    file.touch(0o600)  # a store's URL may hold a password
    file.write_bytes(msgspec.json.format(msgspec.json.encode(config)))
    with (state / "gateway.log").open("ab") as log:
        start = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "onward.stages.serve.gateway", "--config", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            address = _wait_for(process, state, timeout_s)
        except BaseException:
            process.kill()
            process.wait()
            raise
    if address is None:
        words = (state / "gateway.log").read_bytes()[start:].decode(errors="replace").strip()
        kind = _KINDS.get(process.returncode, OnwardError)
        raise kind(
            words or f"the gateway ended at once with status {process.returncode}",
            next_step=None if "next:" in words else f"see {state / 'gateway.log'}",
        )
    return LocalServer(process, address, config.drain_s)


class LocalServers:
    """Gateways on this machine; `online` opens production's online store."""

    def __init__(self, online: Factory | None = None) -> None:
        self._online = online

    def start_staging(self, image: ImageRef, folder: Path) -> Server:
        """Serve one image alone on a free port, its log and state under `folder`."""
        return start_gateway(
            GatewayConfig(
                state=str(folder),
                image=image,
                golden_views=True,
                predictions=str(folder / "predictions"),
                parent=os.getpid(),
            )
        )

    def start_replay(self, image: ImageRef, folder: Path) -> Server:
        """Serve one image as production would, each request as of the time that it tells."""
        return start_gateway(
            GatewayConfig(
                state=str(folder),
                image=image,
                online=self._online,
                clock="request",
                predictions=str(folder / "predictions"),
                parent=os.getpid(),
            )
        )


def _wait_for(process: subprocess.Popen[bytes], state: Path, timeout_s: float) -> Address | None:
    """Return the address that the process announces when it is ready; None if it ends first."""
    deadline = time.monotonic() + timeout_s
    while process.poll() is None:
        address = read_address(state)
        if address is not None and address.pid == process.pid:
            return address
        if time.monotonic() > deadline:
            raise OnwardError(
                f"the gateway was not ready within {timeout_s:g} s",
                next_step=f"see {state / 'gateway.log'}",
            )
        time.sleep(0.01)
    return None
