"""A prediction by its id, where only the lake has it: among the rows of `serving.predictions`."""

from __future__ import annotations

import json
import random
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa

from bench.report import Row
from onward.infra.lake.iceberg import IcebergLake, open_lake
from onward.stages.serve.log.segment import Address
from onward.stages.serve.step import COLUMNS, TABLE, look_up

WRITERS, TICK, FRAMES = 4, 8, 5_000  # processes, rows of a frame, frames of a segment
FEATURES = 20
IMAGE = "sha256:abc"
FOLD = 200_000
LIMIT_MS = 50.0


def run(quick: bool) -> Sequence[Row]:
    """Look ids up among a million rows."""
    return measure(rows=20_000 if quick else 1_000_000, asked=5 if quick else 50)


def measure(rows: int = 1_000_000, asked: int = 50) -> Sequence[Row]:
    """Fold `rows` predictions as gateways log them, and look `asked` of them up; medians."""
    names = [f"f{n}" for n in range(FEATURES)]
    state = {f"{COLUMNS}.{IMAGE}": json.dumps({"features": names, "strings": []})}
    with tempfile.TemporaryDirectory() as folder:
        lake, ids = open_lake(Path(folder) / "lake"), []
        for first in range(0, rows, FOLD):
            table = _folded(first, min(FOLD, rows - first))
            lake.append(TABLE, table, key=str(first), state=state, sought=True)
            ids += table["id"].to_pylist()
        chosen = random.Random(0).sample(ids, asked)
        head = lake.head(TABLE)
        assert head is not None
        nowhere = Path(folder) / "predictions"  # the log has none of them any more
        ours = _median(lambda id_: look_up(nowhere, id_, lake=lake), chosen)
        whole = _median(lambda id_: _by_sql(lake, id_), chosen[: max(3, asked // 5)])
    note = (
        f"{head.bytes >> 20} MiB in {head.files} files; by DuckDB over all of them {whole:.0f} ms"
    )
    return [
        Row(work=f"a prediction by id, {rows:,} in the lake", ours=ours, limit=LIMIT_MS,
            ratio=ours / LIMIT_MS, target="<= 1", unit="ms", note=note)
    ]  # fmt: skip


def _median(look: Callable[[str], object], ids: Sequence[str]) -> float:
    look(ids[0])
    taken = []
    for id_ in ids:
        began = perf_counter()
        look(id_)
        taken.append((perf_counter() - began) * 1e3)
    return statistics.median(taken)


def _by_sql(lake: IcebergLake, id_: str) -> object:
    with lake.open({"predictions": lake.dataset(TABLE)}) as backend:
        query = "SELECT * FROM predictions WHERE id = $1"
        return backend.raw_sql(query, parameters=[id_]).to_arrow_table()


def _folded(first: int, n: int) -> pa.Table:
    """Return what a fold appends: the rows of each writer, in the order of its log."""
    chance = np.random.default_rng(first)
    features = chance.random((n, FEATURES))
    each = n // WRITERS
    addresses = [
        _address(writer, first // WRITERS + row) for writer in range(WRITERS) for row in range(each)
    ]
    requests = [
        json.dumps({"order_id": f"o{first + row}", "amount": round(float(x), 3), "customer": "c1"})
        for row, x in enumerate(features[:, 0])
    ]
    return pa.table(
        {
            "id": [str(address) for address in addresses],
            "at": pa.array(np.arange(first, first + n), pa.timestamp("us", "UTC")),
            "model": pa.repeat("m", n),
            "version": pa.repeat(pa.scalar(1, pa.int64()), n),
            "image": pa.repeat(IMAGE, n),
            "release": pa.repeat("release:m@1.2", n),
            "arm": pa.repeat("champion", n),
            "unit": [f"u{first + row}" for row in range(n)],
            "status": pa.repeat(pa.scalar(200, pa.int32()), n),
            "latency_us": pa.array(chance.integers(100, 900, n)),
            "request": requests,
            "features": pa.ListArray.from_arrays(
                pa.array(np.arange(0, FEATURES * n + 1, FEATURES, dtype="int32")), features.ravel()
            ),
            "texts": pa.array([()] * n, pa.list_(pa.string())),
            "output": features[:, 1],
            "outputs": pa.nulls(n, pa.list_(pa.float64())),
            "error": pa.nulls(n, pa.string()),
            "marks": pa.nulls(n, pa.string()),
            "segment": pa.array([a.segment for a in addresses], pa.int32()),
            "offset": pa.array([a.offset for a in addresses], pa.int64()),
        }
    )


def _address(writer: int, row: int) -> Address:
    """Return where a writer's row lies, if its frames have three kilobytes."""
    segment, frame = divmod(row // TICK, FRAMES)
    return Address(f"mab3k9x{writer}f2c4", segment, 8 + 3_000 * frame, row % TICK)
