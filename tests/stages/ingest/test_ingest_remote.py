"""Ingest from files behind a URL: identity, what changed, and secrets that stay so."""

import gzip
import io
import json
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from pyarrow import parquet

import onward as ow
from onward.core.clock import SystemClock
from onward.core.errors import DataError, DeclarationError, OnwardError
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.ingest.adapters.files import FileReader
from onward.stages.ingest.port import Surroundings
from onward.stages.ingest.step import ingest, pending
from onward.stages.validate.step import audit
from services.s3 import Bucket


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    return open_lake(tmp_path / "lake")


@pytest.fixture
def reader(tmp_path: Path) -> FileReader:
    return FileReader(Surroundings(folder=tmp_path))


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def source(url: str, options: Any = None) -> ow.Source:
    return ow.Source("orders", ow.files(url, storage_options=options), key="id", event_time="at")


def take(lake: IcebergLake, reader: FileReader, src: ow.Source, run: str = "r1") -> list[int]:
    batch = ingest(src, reader=reader, lake=lake, run=run)
    assert batch is not None
    assert audit(batch, (), lake=lake, clock=SystemClock()).published
    return sorted(lake.read("raw.orders")["id"].to_pylist())


def csv(*ids: int) -> str:
    return "\n".join(["id,at", *(f"{i},2024-01-01" for i in ids), ""])


def as_parquet(i: int) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.table({"id": [i], "at": ["2024-01-01"]}), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", csv(7).encode()),
        ("a.csv.gz", gzip.compress(csv(7).encode(), mtime=0)),
        ("a.parquet", as_parquet(7)),
        ("a.jsonl", b'{"id": 7, "at": "2024-01-01"}\n'),
    ],
)
def test_every_format_is_read_from_a_bucket(
    lake: IcebergLake, reader: FileReader, bucket: Bucket, name: str, content: bytes
) -> None:
    bucket.put(f"deep/er/{name}", content)
    bucket.put(f"deep/er/_{name}", b"unfinished")
    bucket.put(f"deep/er/{name}.part", b"unfinished")
    src = source(bucket.url(f"**/*.{name.partition('.')[2]}"), bucket.options)
    assert take(lake, reader, src) == [7]
    assert not pending(src, reader=reader, lake=lake)


def test_a_file_that_changed_after_it_was_read_is_refused(
    lake: IcebergLake, reader: FileReader, bucket: Bucket
) -> None:
    src = source(bucket.url("in/*.csv"), bucket.options)
    bucket.put("in/a.csv", csv(1))
    take(lake, reader, src)
    bucket.put("in/a.csv", csv(1))  # the same content
    assert not pending(src, reader=reader, lake=lake)
    assert ingest(src, reader=reader, lake=lake, run="r2") is None
    bucket.put("in/a.csv", csv(2))  # of the same size
    bucket.put("in/b.csv", csv(3))
    with pytest.raises(DataError, match=r"in/a\.csv has changed since source 'orders' read it"):
        ingest(src, reader=reader, lake=lake, run="r3")
    assert lake.dataset("raw.orders").rows == 1


def test_a_file_that_changes_while_it_is_read_is_refused(
    lake: IcebergLake, bucket: Bucket, tmp_path: Path
) -> None:
    class Hasty(FileReader):
        def open(self, *args: Any, **kwargs: Any) -> Any:
            intake = super().open(*args, **kwargs)
            bucket.put("in/a.csv", csv(1, 2))
            return intake

    bucket.put("in/a.csv", csv(1))
    src = source(bucket.url("in/*.csv"), bucket.options)
    with pytest.raises(DataError, match="changed while it was read"):
        ingest(src, reader=Hasty(Surroundings(folder=tmp_path)), lake=lake, run="r1")
    assert lake.tables() == []


def test_a_store_without_etags_goes_by_time_and_content(
    lake: IcebergLake, reader: FileReader, memory: Any
) -> None:
    src = source("memory://in/*.csv")
    memory.pipe("/in/a.csv", csv(1).encode())
    assert take(lake, reader, src) == [1]
    memory.pipe("/in/a.csv", csv(1).encode())  # another time, the same content
    assert ingest(src, reader=reader, lake=lake, run="r2") is None
    memory.pipe("/in/empty.csv", b"")
    with pytest.raises(DataError, match=r"empty\.csv is empty"):
        ingest(src, reader=reader, lake=lake, run="r3")


def test_files_of_a_web_server_are_known_by_what_it_tells_of_each(
    lake: IcebergLake, reader: FileReader, tmp_path: Path
) -> None:
    served = tmp_path / "served"
    served.mkdir()
    (served / "a.csv").write_text(csv(1))
    handler = partial(Quiet, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        src = source(f"http://127.0.0.1:{server.server_port}/*.csv")
        assert take(lake, reader, src) == [1]
        assert not pending(src, reader=reader, lake=lake)
        (served / "a.csv").write_text(csv(1, 2))
        assert pending(src, reader=reader, lake=lake)
        with pytest.raises(DataError, match="has changed since"):
            ingest(src, reader=reader, lake=lake, run="r2")
        server.shutdown()


def test_options_come_from_the_settings_and_are_filled_in(
    lake: IcebergLake, bucket: Bucket, tmp_path: Path
) -> None:
    asked = []

    def fill(text: str) -> str:
        asked.append(text)
        return text.replace("${secret:S3}", "v3rys3cret")

    given = {"key": "AKIA0000", "client_kwargs": {"endpoint_url": bucket.endpoint}}
    reader = FileReader(Surroundings(folder=tmp_path, fill=fill, storage={"s3": given}))
    bucket.put("in/a.csv", csv(1))
    src = source(bucket.url("in/*.csv"), {"secret": "${secret:S3}"})
    assert take(lake, reader, src) == [1]
    assert {"AKIA0000", bucket.endpoint, "${secret:S3}"} <= set(asked)


def test_secrets_are_nowhere_to_be_seen(
    lake: IcebergLake, reader: FileReader, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("in/a.csv", csv(1))
    src = source(bucket.url("in/*.csv"), bucket.options)
    assert "v3rys3cret" not in repr(src)
    assert src == source(bucket.url("in/*.csv"), bucket.options | {"secret": "another"})
    take(lake, reader, src)
    told = [dict(s.summary) | dict(s.state) for s in lake.history("raw.orders")]
    assert "v3rys3cret" not in json.dumps(told)

    def tells_all(*_: Any, **options: Any) -> Any:
        raise RuntimeError(f"no access with {options} to ftp://me:hush@host/a.csv")

    monkeypatch.setattr("fsspec.core.url_to_fs", tells_all)
    broken = source("ftp://me:hush@host/*.csv", {"client_secret": "v3rys3cret", "key": "K"})
    with pytest.raises(DataError) as no:
        pending(broken, reader=reader, lake=lake)
    assert "RuntimeError: no access" in str(no.value)
    assert "ftp://me:***@host" in str(no.value)
    for secret in ("hush", "v3rys3cret"):
        assert secret not in str(no.value) + repr(broken)


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("s3x://bucket/*.csv", DeclarationError, "no file system 's3x'"),
        ("s3://nowhere/*.csv", DataError, "cannot read from s3://nowhere/*.csv"),
    ],
)
def test_a_store_that_cannot_be_read_is_named(
    lake: IcebergLake,
    reader: FileReader,
    bucket: Bucket,
    url: str,
    error: type[OnwardError],
    words: str,
) -> None:
    once = {"connect_timeout": 1, "retries": {"max_attempts": 0}}
    closed = {**bucket.options, "endpoint_url": "http://127.0.0.1:1", "config_kwargs": once}
    src = source(url, closed if url.startswith("s3:") else None)
    with pytest.raises(error) as no:
        pending(src, reader=reader, lake=lake)
    assert words in str(no.value)
    assert no.value.location is not None


def test_a_missing_library_is_named(
    lake: IcebergLake, reader: FileReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(DeclarationError, match="gcsfs"):
        pending(source("gs://bucket/*.csv"), reader=reader, lake=lake)


def test_storage_options_need_a_url() -> None:
    with pytest.raises(DeclarationError, match="no storage options open") as no:
        ow.files("data/*.csv", storage_options={"key": "x"})
    assert no.value.location is not None
