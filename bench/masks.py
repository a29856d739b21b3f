"""Masks: taking a CSV file in with masked columns beside the same without; and a byte search."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv

import onward as ow
from bench.report import Row

if TYPE_CHECKING:
    from onward.core.records import Mask

ROWS = 1_000_000
ENTITIES = 50_000

MASKED: Mapping[str, Mapping[str, Mask]] = {
    f"a pseudonym, {ENTITIES:,} distinct": {"customer": ow.pseudonym()},
    "a hash, all distinct": {"email": ow.hashed()},
    "encrypted afresh": {"email": ow.revealable("fraud")},
    "pseudonym, hash and generalise": {
        "customer": ow.pseudonym(),
        "email": ow.hashed(),
        "zip": ow.generalise(digits=2),
    },
}


def run(quick: bool) -> Sequence[Row]:
    """Return CPU seconds of ingest for each set of masks, and of the search for a text."""
    n = 20_000 if quick else ROWS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, n)
        _ingest(folder, "warm", {}, n)
        bare = _ingest(folder, "bare", {}, n)
        rows = [
            Row(
                work=f"ingest {n:,} x 9 CSV rows, {what}",
                ours=(ours := _ingest(folder, str(number), masked, n)),
                limit=bare,
                ratio=ours / bare,
                target="<= 1.5",
                unit="s CPU",
                note=f"limit: the same without masks; {n / ours:,.0f} rows a CPU second",
            )
            for number, (what, masked) in enumerate(MASKED.items())
        ]
        return [*rows, _search(folder)]


def _write(folder: Path, n: int) -> None:
    chance = np.random.default_rng(0)
    rows = {
        "id": np.arange(n),
        "at": ["2024-01-01T00:00:00Z"] * n,
        "customer": [f"cust-{i}" for i in chance.integers(0, ENTITIES, n)],
        "email": [f"user{i}@example.org" for i in range(n)],
        "zip": [f"{i:05d}" for i in chance.integers(0, 99_999, n)],
        **{f"x{i}": chance.normal(size=n).round(4) for i in range(4)},
    }
    pyarrow.csv.write_csv(pa.table(rows), folder / "rows.csv")


def _ingest(folder: Path, place: str, masked: Mapping[str, Mask], n: int) -> float:
    from onward.infra.lake.iceberg import open_lake
    from onward.infra.masks.masks import KeyedMasks
    from onward.infra.secrets.keyfile import KeyFile
    from onward.stages.ingest.adapters.files import FileReader
    from onward.stages.ingest.port import Surroundings
    from onward.stages.ingest.step import ingest

    lake = open_lake(folder / place / "lake")
    masks = KeyedMasks(KeyFile(folder / "secrets.json"))
    source = ow.Source("rows", ow.files("rows.csv"), key="id", event_time="at", masked=masked)
    reader = FileReader(Surroundings(folder=folder))
    begun = time.process_time()
    batch = ingest(source, reader=reader, lake=lake, run="r1", masks=masks)
    seconds = time.process_time() - begun
    assert batch is not None
    assert batch.rows == n
    return seconds


def _search(folder: Path) -> Row:
    from onward.infra.search.files import files_with

    bare = folder / "bare"
    files_with(["warm"], bare)
    files = [path for path in bare.rglob("*") if path.is_file()]
    begun = time.process_time()
    plain = sum(path.read_bytes().count(b"cust-4711-x") for path in files)
    limit = time.process_time() - begun
    begun = time.process_time()
    found = files_with(["cust-4711-x"], bare)
    ours = time.process_time() - begun
    assert plain == len(found) == 0
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    return Row(
        work=f"search {megabytes:,.0f} MB of compressed Parquet for a text",
        ours=ours,
        limit=limit,
        ratio=ours / limit,
        target="",
        unit="s CPU",
        note=f"limit: bytes.count over the files as they are, which finds nothing that is packed; "
        f"{megabytes / ours:,.0f} MB a CPU second",
    )
