"""What callers were answered against what the log and the lake hold, and every error's excuse."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

SLACK_S = 3.0  # an error may be seen so long after its cause is over


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Some seconds in which something was broken on purpose, by the machine's monotonic clock.

    `unlogged` says whether the gateway may answer meanwhile what it does not log.
    """

    kind: str
    begin: float
    end: float
    unlogged: bool = False


EXCUSES = {
    "dead": ("worker killed", "gateway killed", "project killed"),
    "unreachable": ("gateway killed", "project killed"),
    "refused 503": ("disk full",),
    "refused 429": ("worker killed", "gateway killed", "project killed"),
    "unlogged": ("disk full",),
}
"""What may go wrong for a caller, and what must have been broken at that moment."""


@dataclass(slots=True)
class Reconciled:
    """Counts of what was compared, and what is not as it must be."""

    counts: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def reconcile(
    journals: Iterable[Path],
    *,
    predictions: pa.Table,
    feedback: pa.Table,
    windows: Collection[Window],
    brittle: Collection[int],
) -> Reconciled:
    """Compare what was answered with what is logged.

    Parameters
    ----------
    predictions, feedback
        ``serving.predictions`` and ``serving.feedback``.
    brittle
        The editions whose model fails for what is dear; their errors are meant.
    """
    found = Reconciled()
    files = list(journals)
    room = {"memory_limit": "4GB", "temp_directory": str(files[0].parent / "duckdb")}
    with duckdb.connect(config=room) as db:
        db.execute(_READ, [[str(path) for path in files]])
        db.register("predictions", predictions)
        db.register("feedback", feedback)
        for name, question in _COUNTS.items():
            [(found.counts[name],)] = db.sql(question).fetchall()
        for what, question in _MUST_BE_EMPTY.items():
            if some := db.sql(f"{question} LIMIT 3").fetchall():
                [(all_of_them,)] = db.sql(f"SELECT count(*) FROM ({question})").fetchall()
                found.wrong.append(f"{all_of_them:,} {what}: {some}")
        found.wrong += _unexcused(db, windows, brittle)
    return found


def _unexcused(
    db: duckdb.DuckDBPyConnection, windows: Collection[Window], brittle: Collection[int]
) -> list[str]:
    """Say which errors had no cause of ours."""
    meant = [f"%too dear for edition {number}" for number in brittle]
    db.execute("CREATE TABLE meant (detail VARCHAR)")
    db.executemany("INSERT INTO meant VALUES (?)", [[detail] for detail in meant or [""]])
    db.execute(
        'CREATE TABLE windows (kind VARCHAR, "begin" DOUBLE, "end" DOUBLE, unlogged BOOLEAN)'
    )
    db.execute("CREATE TABLE excuses (error VARCHAR, kind VARCHAR)")
    told = [[w.kind, w.begin, w.end + SLACK_S, w.unlogged] for w in windows]
    excuses = [[error, kind] for error, kinds in EXCUSES.items() for kind in kinds]
    if told:
        db.executemany("INSERT INTO windows VALUES (?, ?, ?, ?)", told)
    db.executemany("INSERT INTO excuses VALUES (?, ?)", excuses)
    return [
        f"{n:,} x {error} at no fault of ours ({detail}), first at {at:.1f}"
        for error, detail, n, at in db.sql(_UNEXCUSED).fetchall()
    ]


_READ = """
CREATE TABLE journal AS SELECT * FROM read_csv(
    $1, header = true, quote = '"', escape = '"', nullstr = '', columns = {
    'at': 'DOUBLE', 'kind': 'VARCHAR', 'unit': 'VARCHAR', 'id': 'VARCHAR', 'version': 'BIGINT',
    'arm': 'VARCHAR', 'status': 'INTEGER', 'output': 'DOUBLE', 'detail': 'VARCHAR'
})
"""

_COUNTS = {
    "answered": "SELECT count(*) FROM journal WHERE kind = 'answered'",
    "failed as meant": "SELECT count(*) FROM journal WHERE kind = 'answered' AND status <> 200",
    "answered unlogged": "SELECT count(*) FROM journal WHERE kind = 'unlogged'",
    "refused": "SELECT count(*) FROM journal WHERE kind = 'refused'",
    "unknown": "SELECT count(*) FROM journal WHERE kind = 'dead'",
    "unknown, but logged": """
        SELECT count(DISTINCT j.unit) FROM journal j JOIN predictions p USING (unit)
        WHERE j.kind = 'dead'""",
    "unreachable": "SELECT count(*) FROM journal WHERE kind = 'unreachable'",
    "feedback taken": "SELECT count(*) FROM journal WHERE kind = 'told'",
    "in the lake": "SELECT count(*) FROM predictions WHERE arm <> 'shadow'",
    "of shadows": "SELECT count(*) FROM predictions WHERE arm = 'shadow'",
}

_MUST_BE_EMPTY = {
    "answers were given twice": """
        SELECT id, count(*) FROM journal WHERE kind = 'answered' GROUP BY id HAVING count(*) > 1""",
    "predictions are logged twice": """
        SELECT id, count(*) FROM predictions GROUP BY id HAVING count(*) > 1""",
    "answers are LOST": """
        SELECT j."at", j.id, j.unit FROM journal j ANTI JOIN predictions p USING (id)
        WHERE j.kind = 'answered'""",
    "answers are logged otherwise": """
        SELECT j.id, j.unit, p.unit, j.output, p.output, j.status, p.status, j.version, p.version
        FROM journal j JOIN predictions p USING (id)
        WHERE j.kind = 'answered' AND (
            j.unit, j.version, j.arm, j.status
        ) IS DISTINCT FROM (p.unit, p.version, p.arm, p.status)
        OR j.kind = 'answered' AND j.output IS DISTINCT FROM p.output""",
    "predictions are logged that nobody asked for": """
        SELECT p.id, p.unit FROM predictions p ANTI JOIN journal j ON j.unit = p.unit
        WHERE p.arm <> 'shadow'""",
    "predictions are logged whose caller was answered something else": """
        SELECT p.id, p.unit FROM predictions p
        ANTI JOIN (FROM journal WHERE kind = 'answered') j USING (id)
        ANTI JOIN (FROM journal WHERE kind IN ('dead', 'refused', 'unlogged')) k
            ON k.unit = p.unit
        WHERE p.arm <> 'shadow'""",
    "statements of feedback are LOST": """
        SELECT j."at", j.unit FROM journal j ANTI JOIN feedback f
        ON f.prediction = j.unit AND f.value = j.output WHERE j.kind = 'told'""",
    "statements of feedback are there twice": """
        SELECT prediction, count(*) FROM feedback
        SEMI JOIN (FROM journal WHERE kind = 'told') ON prediction = unit
        GROUP BY prediction HAVING count(*) > 1""",
}

_UNEXCUSED = """
WITH errors AS (
    SELECT "at", detail, CASE
        WHEN kind = 'refused' THEN 'refused ' || status
        WHEN kind = 'answered' THEN 'failed ' || status
        ELSE kind END AS error
    FROM journal
    WHERE kind NOT IN ('answered', 'told') OR status <> 200
)
SELECT error, any_value(detail), count(*), min("at") FROM errors e
WHERE NOT EXISTS (FROM meant m WHERE e.detail LIKE m.detail)
AND NOT EXISTS (
    FROM windows w JOIN excuses x USING (kind)
    WHERE x.error = e.error AND e."at" BETWEEN w."begin" AND w."end"
    AND (e.error <> 'unlogged' OR w.unlogged)
)
GROUP BY error, left(detail, 60) ORDER BY count(*) DESC LIMIT 20
"""
