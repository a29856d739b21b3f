"""What callers ask, and the journal of what became of it."""

from __future__ import annotations

import csv
import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from soak.shop import CUSTOMERS, DEAR, FEATURES, MODEL

COLUMNS = ("at", "kind", "unit", "id", "version", "arm", "status", "output", "detail")


class Journal:
    """What became of each row that was sent, a line each, by the machine's monotonic clock."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="", buffering=1 << 16)
        self._writer = csv.writer(self._file)
        self._writer.writerow(COLUMNS)
        self.seen: Counter[str] = Counter()
        self.seconds: list[float] = []

    def note(self, kind: str, unit: str, id: str = "", version: Any = "", arm: str = "",
             status: Any = "", output: Any = "", detail: str = "") -> None:  # fmt: skip
        self.seen[kind] += 1
        self._writer.writerow(
            (time.monotonic(), kind, unit, id, version, arm, status, output, detail)
        )

    def tell(self) -> None:
        """Bring everything to the file, and say how it goes."""
        self._file.flush()
        took = sorted(self.seconds)
        self.seconds.clear()
        p99 = 1000 * took[int(len(took) * 0.99)] if took else None
        print(json.dumps({"seen": self.seen, "requests": len(took), "p99_ms": p99}), flush=True)

    def close(self) -> None:
        self._file.close()


class Rows:
    """A request of rows to ``predict``."""

    def __init__(self, chance: random.Random, units: list[str]) -> None:
        self.units = units
        rows = [
            f'{{"order_id":"{unit}","customer":"c{chance.randrange(CUSTOMERS)}",'
            f'"amount":{amount(chance)},"items":{chance.randrange(1, 6)}}}'
            for unit in units
        ]
        self.sent = post("predict", f'{{"rows":[{",".join(rows)}]}}')

    def answered(self, journal: Journal, status: int, body: Any) -> list[str]:
        if "predictions" not in body:
            return refused(journal, self.units, status, body)
        for unit, entry in zip(self.units, body["predictions"], strict=True):
            failed = "output" not in entry
            journal.note(
                "answered" if "id" in entry else "unlogged", unit, entry.get("id", ""),
                entry["version"], entry["arm"], 500 if failed else 200,
                entry.get("output", ""), entry.get("error", ""),
            )  # fmt: skip
        return [entry["id"] for entry in body["predictions"] if "id" in entry]


class Tensors:
    """A request of tensors to ``infer``; its rows are about one unit."""

    def __init__(self, chance: random.Random, unit: str, rows: int) -> None:
        self.units = [unit]
        data = [
            value
            for _ in range(rows)
            for value in (20.0, 0.3, amount(chance), round(chance.uniform(1, 90), 2))
        ]
        tensor = {"name": "x", "shape": [rows, len(FEATURES)], "datatype": "FP64", "data": data}
        self.sent = post("infer", json.dumps({"id": unit, "inputs": [tensor]}))

    def answered(self, journal: Journal, status: int, body: Any) -> list[str]:
        if "outputs" not in body:
            return refused(journal, self.units, status, body)
        said = body["parameters"]
        outputs = body["outputs"][0]["data"]
        ids = said.get("prediction_ids", "," * (len(outputs) - 1)).split(",")
        for given, output in zip(ids, outputs, strict=True):
            journal.note(
                "answered" if given else "unlogged", self.units[0], given, body["model_version"],
                said["arm"], 200, output,
            )  # fmt: skip
        return [given for given in ids if given]


class Feedback:
    """What became known about a prediction."""

    def __init__(self, chance: random.Random, id: str) -> None:
        self.units = [id]
        self.value = chance.randrange(2)
        told = {"feedback": [{"prediction": id, "value": self.value}]}
        self.sent = post("feedback", json.dumps(told))

    def answered(self, journal: Journal, status: int, body: Any) -> list[str]:
        if status != 200:
            return refused(journal, ["feedback"], status, body)
        journal.note("told", self.units[0], status=200, output=self.value)
        return []


def refused(journal: Journal, units: list[str], status: int, body: Any) -> list[str]:
    for unit in units:
        journal.note("refused", unit, status=status, detail=str(body.get("error", body))[:200])
    return []


def amount(chance: random.Random) -> float:
    return DEAR + 1 if chance.random() < 0.1 else round(chance.lognormvariate(3, 0.8), 2)


def post(verb: str, body: str) -> bytes:
    return (
        f"POST /v2/models/{MODEL}/{verb} HTTP/1.1\r\nHost: soak\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


Request = Rows | Tensors | Feedback
