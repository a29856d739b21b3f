"""A load generator in a process of its own: `wrk` if it is installed, else this file.

`python -m bench._load URL SECONDS CONNECTIONS BODY [HEADER: VALUE …]`: raw asyncio on uvloop, one
request at a time per connection; prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httptools
import uvloop

Figures = dict[str, float]

_GRACE_S = 60.0

WRK = """
wrk.method = "POST"
{headers}
local file = io.open("{body}", "rb")
wrk.body = file:read("*all")
done = function(summary, latency, requests)
  local errors = summary.errors
  local bad = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('{{"requests": %d, "failed": %d, "per_second": %f, "p50_ms": %f, '
    .. '"p99_ms": %f}}\\n', summary.requests, bad, summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


class Client(asyncio.Protocol):
    """Sends the same request again whenever its answer is whole."""

    def __init__(self, request: bytes, deadline: float, seconds: list[float]) -> None:
        self.request = request
        self.deadline = deadline
        self.seconds = seconds
        self.failed = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport) -> None:
        self.transport = transport
        self._send()

    def _send(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._begun = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.failed += self._parser.get_status_code() != 200
        now = time.perf_counter()
        self.seconds.append(now - self._begun)
        if now < self.deadline:
            self._send()
        else:
            self.transport.close()

    def connection_lost(self, exc) -> None:  # noqa: ARG002 (asyncio's name)
        self.failed += time.perf_counter() < self.deadline
        self.done.set_result(None)


def load(
    url: str, body: Path, seconds: float, connections: int, headers: Mapping[str, str] | None = None
) -> Figures:
    """Ask for `seconds` by so many connections; return requests/s and latencies, and what failed.

    Raises
    ------
    AbsentError
        Nothing was answered, or a request was not answered in a minute.
    """
    sent = {"Content-Type": "application/json", **(headers or {})}
    if shutil.which("wrk"):
        script = body.with_suffix(".lua")
        lines = (f'wrk.headers["{name}"] = "{value}"' for name, value in sent.items())
        script.write_text(WRK.format(body=body, headers="\n".join(lines)))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s"]
        command += [str(script), url]
    else:
        command = [sys.executable, "-m", "bench._load", url, str(seconds), str(connections)]
        command += [str(body), *(f"{name}: {value}" for name, value in sent.items())]
    return generated(command, seconds)


def generated(command: Sequence[str], seconds: float) -> Figures:
    """Run a generator of load for `seconds`, and return the line of figures that it prints.

    Raises
    ------
    AbsentError
        Nothing was answered, or a request was not answered in a minute.
    """
    from bench._contest import AbsentError  # which a generator's own process need not import

    try:
        ran = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=seconds + _GRACE_S
        )
    except subprocess.TimeoutExpired:
        raise AbsentError(f"a request was not answered in {_GRACE_S:g} s") from None
    except subprocess.CalledProcessError as failed:
        said = failed.stderr.strip().splitlines() or [f"status {failed.returncode}"]
        raise AbsentError(f"the load ended: {said[-1]}") from None
    found: Figures = json.loads(ran.stdout.strip().splitlines()[-1])
    if not found["requests"]:
        raise AbsentError("nothing was answered")
    return found


async def drive(
    url: str, seconds: float, connections: int, body: bytes, headers: Sequence[str]
) -> Figures:
    parts = urlsplit(url)
    request = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        + "".join(f"{line}\r\n" for line in headers)
        + f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    loop = asyncio.get_running_loop()
    took: list[float] = []
    begun = time.perf_counter()
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: Client(request, begun + seconds, took), parts.hostname, parts.port
        )
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    failed = sum(client.failed for client in clients)
    return figures(took, failed, time.perf_counter() - begun)


def figures(took: list[float], failed: int, elapsed_s: float) -> Figures:
    """Return what a load that took `elapsed_s` says, given how many seconds each request took."""
    took = sorted(took)
    return {
        "requests": len(took),
        "failed": failed,
        "per_second": len(took) / elapsed_s,
        "p50_ms": 1000 * took[len(took) // 2] if took else 0.0,
        "p99_ms": 1000 * took[int(len(took) * 0.99)] if took else 0.0,
    }


if __name__ == "__main__":
    _, url, seconds, connections, file, *headers = sys.argv
    body = Path(file).read_bytes()
    print(json.dumps(uvloop.run(drive(url, float(seconds), int(connections), body, headers))))
