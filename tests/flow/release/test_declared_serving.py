"""What the pipeline says of serving reaches the routes; what it leaves out is left to settings."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onward as ow
from onward.core.records import ImageRef, ModelRef, Route, Routes
from onward.flow.release.serving import declare, written
from onward.flow.site import Folders
from onward.stages.serve.routes import write_routes


def image() -> ImageRef:
    model = ModelRef(name="m", version=1, path="p", digest="d", trained="trained:1", card="c")
    return ImageRef(name="m", digest="sha256:1", layout="l", model=model)


def declared(folder: Path, **said: Any) -> Routes | None:
    definition: Any = SimpleNamespace(
        model="m", pipeline=SimpleNamespace(serving=ow.Serving(**said))
    )
    declare(Folders(folder), definition)
    return written(Folders(folder), "m")


def test_routes_carry_what_is_declared(tmp_path):
    assert declared(tmp_path, log="strict") is None, "it is not served yet"
    route = Route(arm="champion", image=image(), percent=100.0, release="release:m@1.1")
    write_routes(tmp_path / "routes", Routes(model="m", salt="s", routes=(route,)))
    strict = declared(tmp_path, log="strict", on_log_failure="serve")
    assert strict is not None
    assert (strict.log, strict.on_log_failure, strict.routes) == ("strict", "serve", (route,))
    mark = (tmp_path / "routes/m.json").stat()
    assert declared(tmp_path, log="strict", on_log_failure="serve") == strict
    assert (tmp_path / "routes/m.json").stat().st_ino == mark.st_ino, "nothing changed"
    bounded = declared(tmp_path, deadline="50ms", rows=100)
    assert bounded is not None
    assert (bounded.log, bounded.deadline_s, bounded.rows) == (None, 0.05, 100)
    undone = declared(tmp_path)
    assert undone is not None
    assert (undone.log, undone.on_log_failure, undone.deadline_s, undone.rows) == (None,) * 4
