"""What `bench.validate` validates: ten columns, and fifteen rules that each have offenders."""

from __future__ import annotations

DATA = """
SELECT
  CASE WHEN h % 4999 = 0 THEN i - 1 ELSE i END AS id,
  TIMESTAMPTZ '2013-01-01 00:00:00+00' + to_seconds(i)
    + to_years(if(h % 6007 = 0, 200, 0)) AS seen_at,
  CASE WHEN h % 1009 = 0 THEN -1.0 WHEN h % 5003 = 0 THEN 7000.0 ELSE (h % 5000)::DOUBLE END
    AS distance,
  CASE WHEN h % 997 = 0 THEN 9999.0 WHEN h % 4507 = 0 THEN -500.0 ELSE (h % 300)::DOUBLE - 60 END
    AS delay,
  CASE WHEN h % 2003 = 0 THEN 'XXX' ELSE ['EWR', 'JFK', 'LGA'][1 + h % 3] END AS origin,
  CASE WHEN h % 3001 = 0 THEN NULL WHEN h % 1601 = 0 THEN 'X12' ELSE 'D' || (h % 105) END AS dest,
  CASE WHEN h % 1499 = 0 THEN 'bad tail' WHEN h % 5501 = 0 THEN 'M12'
    ELSE 'N' || (h % 9000) END AS tailnum,
  CASE WHEN h % 4001 = 0 THEN -5 ELSE h % 600 END AS seats,
  CASE WHEN h % 2503 = 0 THEN 200.0 ELSE (h % 1000) / 10.0 END AS humidity,
  CASE WHEN h % 3511 = 0 THEN NULL ELSE h % 2 = 0 END AS daylight
FROM (SELECT i, (hash(i) // 2)::BIGINT AS h FROM range({rows}) r(i))
"""

RULES = {
    "id": "id NOT IN (SELECT id FROM twice)",
    "seen_at": "seen_at < TIMESTAMPTZ '2100-01-01 00:00:00+00'",
    "distance low": "distance > 0",
    "distance high": "distance < 6000",
    "delay low": "delay >= -120",
    "delay high": "delay < 1500",
    "origin": "origin IN ('EWR', 'JFK', 'LGA')",
    "dest": "dest IS NOT NULL",
    "dest form": "dest IS NULL OR starts_with(dest, 'D')",
    "tail form": "starts_with(tailnum, 'N')",
    "tail length": "length(tailnum) BETWEEN 2 AND 6",
    "seats": "seats >= 0",
    "humidity": "humidity BETWEEN 0 AND 100",
    "daylight": "daylight IS NOT NULL",
    "far or early": "distance > 100 OR delay < 1000",
}
TWICE = "SELECT id FROM batch GROUP BY id HAVING count(*) > 1"
