"""The features room's join, on a view's rows as publishing leaves them."""

from __future__ import annotations

from collections.abc import Iterator

from bench._entrant import Found, Given, timed


def runs(given: Given) -> Iterator[Found]:
    import duckdb
    import pyarrow.parquet as pq

    from onward.core.records import ViewPlan
    from onward.stages.features.point_in_time import Joined, join

    connection = duckdb.connect(config={"temp_directory": f"{given['folder']}/spill"})
    views = []
    for number, file in enumerate(given["views"]):
        connection.execute(f"CREATE VIEW v{number} AS FROM read_parquet('{file}')")
        plan = ViewPlan(
            name=f"v{number}", version=1, table=f"features.v{number}_v1", entity=("entity",),
            columns=tuple(given["features"]), ttl_s=given["ttl_days"] * 86_400.0,
        )  # fmt: skip
        views.append(Joined(view=plan, relation=f"v{number}", marked=given["marked"]))
    spine = pq.read_table(given["spine"])
    file = f"{given['folder']}/joined.parquet"
    while True:
        with timed() as took:
            joined = join(connection, spine, views)
        pq.write_table(joined.append_column("row", spine["row"]), file)
        yield took | {"file": file}
