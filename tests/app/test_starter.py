"""`onward init NAME && onward run`: the starter works at once on the data that it ships."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from onward.app.init import create_project
from onward.app.project import open_project


def test_the_starter_trains_and_serves_on_its_own_data(
    tmp_path: Path, at_any_speed: Callable[[Path], None]
) -> None:
    create_project(tmp_path / "shop", "shop", "starter")
    at_any_speed(tmp_path / "shop" / "pipeline.py")
    with open_project(tmp_path / "shop") as project:
        outcome = project.run()
        assert outcome is not None
        assert outcome.state == "promoted", outcome.reason
        quarantined = {a.dataset: a.rows_quarantined for a in outcome.audits}
        assert quarantined["customers"] == 2
        assert quarantined["orders"] == 4
        [prediction] = project.predict(project.sample(1))["predictions"]
        assert 0 <= prediction["output"] <= 1
