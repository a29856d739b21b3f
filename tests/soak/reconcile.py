"""What was sent against what the lake holds, row by row."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from onward.infra.lake.iceberg import open_lake

Place = tuple[int, int]


class Sent:
    """What was sent: each message's kind by partition and offset, each line's by its number."""

    def __init__(self) -> None:
        self.messages: dict[int, list[str]] = defaultdict(list)
        self.lines: list[str] = []
        self.files = 0
        self.count = 0

    def message(self, partition: int, kind: str) -> int:
        """Remember a message and return its number."""
        self.messages[partition].append(kind)
        self.count += 1
        return self.count

    def file(self, kinds: Sequence[str]) -> range:
        """Remember a file's lines and return their numbers."""
        first = len(self.lines)
        self.lines += kinds
        self.files += 1
        return range(first, len(self.lines))


def reconcile(lake: Path, sent: Sent) -> list[str]:
    """Print and return what is not as it should be; nothing if every row is there once."""
    places = {
        (partition, offset): kind
        for partition, kinds in sent.messages.items()
        for offset, kind in enumerate(kinds)
    }
    columns = ["kafka_partition", "kafka_offset"]
    wrong = _compare(lake, "payments", columns, places)
    wrong += _compare(lake, "lines", ["number"], dict(enumerate(sent.lines)))
    for line in wrong:
        print(line, flush=True)
    return wrong


def _compare(lake: Path, name: str, columns: list[str], sent: dict) -> list[str]:
    wrong = []
    for table, wanted in (
        (f"raw.{name}", {place for place, kind in sent.items() if kind == "good"}),
        (f"quarantine.raw_{name}", {place for place, kind in sent.items() if kind != "good"}),
    ):
        read = open_lake(lake).read(table, columns=columns)
        rows = list(zip(*(read[c].to_pylist() for c in columns), strict=True))
        found = Counter(row if len(columns) > 1 else row[0] for row in rows)
        twice = [place for place, count in found.items() if count > 1]
        kept = f"{table}: {len(rows):,} rows"
        print(f"{kept}; {len(open_lake(lake).history(table)):,} snapshots", flush=True)
        for what, places in (
            ("twice", twice),
            ("missing", wanted - found.keys()),
            ("not sent, or elsewhere", found.keys() - wanted),
        ):
            if places:
                wrong.append(f"{table}: {len(places):,} {what}: {sorted(places)[:5]}")
    return wrong
