"""PostgreSQL for tests: Debian's server on a cluster of its own, reached by a socket in /tmp.

One cluster per test process, copied from one that the first of them initialises; it ends with the
process, however that ends. Each test gets a database of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from pwd import getpwnam
from shutil import which
from typing import Any

import pytest
from filelock import FileLock

_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "autovacuum": "off",
    "jit": "off",
    "timezone": "UTC",
    "log_destination": "stderr",
}
_NUMBERS = count(1)


@dataclass(frozen=True)
class Cluster:
    """A running server. `sockets` is the folder of its socket, for ``host=``."""

    sockets: Path
    tools: Path

    def url(self, database: str = "postgres") -> str:
        """Return libpq's URL of a database; whoever connects is its superuser."""
        return f"postgresql://postgres@/{database}?host={self.sockets}"

    def create_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"test_{next(_NUMBERS)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, sql: str, url: str | None = None) -> str:
        """Run statements through psql, as another client would, and return what it prints."""
        done = subprocess.run(
            [self.tools / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", url or self.url()],
            input=sql, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A PostgreSQL server that lives as long as this test process."""
    tools = _tools()
    # Not under pytest's folder: when root runs the tests, the server's user may not look in there.
    home = Path(tempfile.mkdtemp(prefix="onward-pg-"))
    try:
        _give_away(home)
        shutil.copytree(_template(tools, tmp_path_factory), home / "data")
        for path in (home / "data", *(home / "data").rglob("*")):
            _give_away(path)
        (home / "data").chmod(0o700)
        with _running(tools, home):
            yield Cluster(home, tools)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres: Cluster) -> str:
    """The URL of an empty database."""
    return postgres.create_database()


@contextmanager
def _running(tools: Path, home: Path) -> Iterator[None]:
    settings = {**_SETTINGS, "unix_socket_directories": str(home)}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (home / "log").open("w") as log, _told_when_ready(home) as wait:
        server = subprocess.Popen(
            # Linux ends the server when the test process ends, even by kill -9.
            ["setpriv", "--pdeathsig", "QUIT", tools / "postgres", "-D", home / "data", *options],
            stderr=log, stdout=log, cwd=home,
            env={**os.environ, "NOTIFY_SOCKET": str(home / "notify")}, **_owner(),
        )  # fmt: skip
        try:
            wait(server)
            yield
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: there is nothing to keep
            server.wait(30)


def _tools() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: p.parts[4])
    on_path = which("postgres")
    place = found[-1] if found else Path(on_path).resolve() if on_path else None
    assert place, "PostgreSQL is missing: `make test` installs what .ci/services.txt names"
    return place.parent


def _template(tools: Path, factory: pytest.TempPathFactory) -> Path:
    """Return an initialised data folder, made by whichever test process comes first."""
    base = factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    template = shared / "postgres-template"
    with FileLock(shared / "postgres-template.lock"):
        if not template.exists():
            home = Path(tempfile.mkdtemp(prefix="onward-initdb-"))
            _give_away(home)
            subprocess.run(
                [
                    tools / "initdb", "-D", home / "data", "-U", "postgres", "--auth=trust",
                    "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions",
                ],
                check=True, capture_output=True, cwd=home, **_owner(),
            )  # fmt: skip
            shutil.copytree(home / "data", template)
            shutil.rmtree(home)
    return template


def _owner() -> dict[str, Any]:
    """As whom the server runs: it refuses to run as root."""
    if os.geteuid():
        return {}
    user = getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _give_away(path: Path) -> None:
    if owner := _owner():
        os.chown(path, owner["user"], owner["group"])


@contextmanager
def _told_when_ready(home: Path) -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Listen where the server says that it is ready: systemd's protocol, in Debian's build."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(home / "notify"))
        _give_away(home / "notify")
        listener.settimeout(1)

        def wait(server: subprocess.Popen[bytes]) -> None:
            for _ in range(120):
                with suppress(TimeoutError):
                    if b"READY=1" in listener.recv(4096):
                        return
                if server.poll() is not None:
                    break
            raise AssertionError((home / "log").read_text())

        yield wait
