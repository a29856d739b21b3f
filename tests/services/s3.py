"""An S3-protocol server for tests: moto's, in a process of its own on a free port."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

import pytest

# It ends when its input does: with the test process, however that ends.
_SERVER = """
import sys
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
server.stop()
"""
_NUMBERS = count(1)


@dataclass(frozen=True)
class Bucket:
    """A bucket of the server at `endpoint`, filled as another client would."""

    endpoint: str
    name: str

    @property
    def options(self) -> dict[str, Any]:
        """What opens the server, as s3fs names it."""
        return {"key": "AKIA0000", "secret": "v3rys3cret", "endpoint_url": self.endpoint}

    def put(self, key: str, content: bytes | str) -> None:
        body = content.encode() if isinstance(content, str) else content
        _client(self.endpoint).put_object(Bucket=self.name, Key=key, Body=body)

    def url(self, pattern: str) -> str:
        return f"s3://{self.name}/{pattern}"


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of an S3 server that lives as long as this test process."""
    environment = {name: v for name, v in os.environ.items() if not name.startswith("COV")}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _SERVER], env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as server:  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        host, port = server.stdout.readline().split()
        yield f"http://{host}:{port}"
        server.stdin.close()


@pytest.fixture
def bucket(s3_endpoint: str) -> Bucket:
    """An empty bucket."""
    bucket = Bucket(s3_endpoint, f"test-{next(_NUMBERS)}")
    _client(s3_endpoint).create_bucket(Bucket=bucket.name)
    return bucket


@cache
def _client(endpoint: str) -> Any:
    from botocore.session import get_session

    return get_session().create_client(
        "s3", region_name="us-east-1", endpoint_url=endpoint,
        aws_access_key_id="AKIA0000", aws_secret_access_key="v3rys3cret",
    )  # fmt: skip
