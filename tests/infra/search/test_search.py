"""A text is found wherever it lies: packed, nested, across borders; and nowhere else."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onward.infra.lake.iceberg import open_lake
from onward.infra.search import files as searching
from onward.infra.search.files import files_with

WANTED = "ada.lovelace@example.org"


def parquet(path: Path, column: pa.Array) -> None:
    pq.write_table(pa.table({"x": column}), path, compression="zstd", write_statistics=False)


def packed_tar(path: Path) -> None:
    with tarfile.open(path, "w:gz") as tar:
        entry = tarfile.TarInfo("golden.json")
        data = json.dumps({"rows": ["x" * 1000, WANTED]}).encode()
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "x" * 1000 + WANTED)


def database(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (x)")
        db.execute("INSERT INTO t VALUES (?)", (WANTED,))
    db.close()


HOLDERS = {
    "plain": lambda path: path.write_text(f"a {WANTED} b"),
    "gzip": lambda path: path.write_bytes(gzip.compress(WANTED.encode() * 3)),
    "tar.gz": packed_tar,
    "zip": zipped,
    "sqlite": database,
    "strings": lambda path: parquet(path, pa.array([None, "x", WANTED])),
    "bytes": lambda path: parquet(path, pa.array([None, WANTED.encode()])),
    "dictionary": lambda path: parquet(path, pa.array([WANTED]).dictionary_encode()),
    "lists": lambda path: parquet(path, pa.array([["x"], None, [WANTED]])),
    "structs": lambda path: parquet(path, pa.array([{"a": {"b": WANTED}}])),
    "maps": lambda path: parquet(
        path, pa.array([[("k", WANTED)]], pa.map_(pa.string(), pa.string()))
    ),
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_finds_a_text_in(kind: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    HOLDERS[kind](tmp_path / "in" / "file")
    assert files_with([WANTED, "absent"], tmp_path) == {tmp_path / "in" / "file": {WANTED}}


def test_finds_numbers_of_a_table_and_escaped_letters(tmp_path: Path) -> None:
    parquet(tmp_path / "a", pa.array([7, 4711_0815, None]))
    (tmp_path / "b").write_text(json.dumps({"x": "Zoë Ångström"}))
    (tmp_path / "c").write_text("Zoë Ångström")
    found = files_with(["47110815", "Zoë Ångström"], tmp_path)
    assert {path.name: held for path, held in found.items()} == {
        "a": {"47110815"},
        "b": {"Zoë Ångström"},
        "c": {"Zoë Ångström"},
    }


def test_finds_a_text_across_two_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_CHUNK", 8)
    (tmp_path / "a").write_text("." * 5 + WANTED + "." * 5)
    (tmp_path / "b").write_bytes(gzip.compress(b"." * 3 + WANTED.encode()))
    assert len(files_with([WANTED], tmp_path)) == 2


def test_two_cells_make_no_text(tmp_path: Path) -> None:
    parquet(tmp_path / "a", pa.array([WANTED[:9], WANTED[9:]]))
    assert files_with([WANTED], tmp_path) == {}


@pytest.mark.parametrize("head", [b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"Obj\x01"])
def test_a_file_that_is_not_what_it_seems_is_searched_as_bytes(head: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(head + b"\x02\x02 nonsense " + WANTED.encode())
    (tmp_path / "b").write_bytes(head)
    assert list(files_with([WANTED], tmp_path)) == [tmp_path / "a"]


def test_finds_bounds_in_a_lakes_manifests(tmp_path: Path) -> None:
    lake = open_lake(tmp_path)
    lake.append("raw.people", pa.table({"name": ["ada", "zuse-4711"]}), key="1")
    suffixes = {path.suffix for path in files_with(["zuse-4711"], tmp_path)}
    assert suffixes == {".parquet", ".avro"}
