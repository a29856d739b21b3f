"""A load generator for gRPC, in a process of its own: grpcio, one call at a time per connection.

`python -m bench._rpc_load ADDRESS SECONDS CONNECTIONS BODY`: the body is sent as it is, the answer
not read, so that the client costs no more than grpcio does; prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Final

import grpc
import uvloop

from bench._load import Figures, figures, generated

METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
CONNECT_S: Final = 30.0

_OPTIONS: Final = [
    ("grpc.use_local_subchannel_pool", 1),  # else channels to one address share a connection
    ("grpc.max_receive_message_length", -1),
]


def load(address: str, body: Path, seconds: float, connections: int) -> Figures:
    """Ask for `seconds` by so many connections; return requests/s and latencies, and what failed.

    Raises
    ------
    AbsentError
        Nothing was answered, or a request was not answered in a minute.
    """
    command = [sys.executable, "-m", "bench._rpc_load", address, str(seconds), str(connections)]
    return generated([*command, str(body)], seconds)


async def drive(address: str, seconds: float, connections: int, body: bytes) -> Figures:
    channels = [grpc.aio.insecure_channel(address, options=_OPTIONS) for _ in range(connections)]
    await asyncio.wait_for(asyncio.gather(*(c.channel_ready() for c in channels)), CONNECT_S)
    took: list[float] = []
    begun = time.perf_counter()
    asked = (_ask(channel, begun + seconds, body, took) for channel in channels)
    failed = sum(await asyncio.gather(*asked))
    elapsed_s = time.perf_counter() - begun
    for channel in channels:
        await channel.close()
    return figures(took, failed, elapsed_s)


async def _ask(channel: grpc.aio.Channel, until: float, body: bytes, took: list[float]) -> int:
    """Call again whenever an answer has come; return how many calls failed."""
    call, failed = channel.unary_unary(METHOD), 0
    before = time.perf_counter()
    while before < until:
        try:
            await call(body)
        except grpc.RpcError:
            failed += 1
        now = time.perf_counter()
        took.append(now - before)
        before = now
    return failed


if __name__ == "__main__":
    _, address, seconds, connections, file = sys.argv
    body = Path(file).read_bytes()
    print(json.dumps(uvloop.run(drive(address, float(seconds), int(connections), body))))
