"""The guide to models: what it returns goes through a project to the gateway and the scores."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from marked_pages import guide
from onward.app.project import open_project
from onward.app.score import score

GUIDE = guide("models")
MODEL = re.compile(r"@ow\.model\(.*?(?=\npipeline = )", re.DOTALL)


def with_model(folder: Path, snippet: str) -> None:
    """Put a snippet of the guide in the place of a shop's model."""
    file = folder / "pipeline.py"
    code, places = MODEL.subn(lambda _: f"{GUIDE.block(snippet)}\n", file.read_text())
    assert places == 1
    file.write_text(re.sub(r'(at_least\("roc_auc", )[\d.]+', r"\g<1>0.0", code))


@pytest.mark.parametrize(
    ("snippet", "tolerance"), [("function", 1e-9), ("module", 1e-5), ("onnx", 1e-5)]
)
def test_what_is_returned_is_delivered_and_answers(
    tmp_path: Path, shops: Callable[[Path], Path], snippet: str, tolerance: float
) -> None:
    if snippet == "module":
        pytest.importorskip("torch", reason="PyTorch is not installed: `make test-torch`")
    folder = shops(tmp_path / "shop")
    with_model(folder, snippet)
    with open_project(folder) as project:
        run = project.run()
        assert run.state == "promoted", run
        rows = project.sample(5)
        answers = {p["unit"]: p["output"] for p in project.predict(rows)["predictions"]}
        score(project, "orders")
        scores = project.site.lake.read("scores.orders").to_pylist()
    found = {row["order_id"]: row["probability"] for row in scores}
    assert answers == pytest.approx({unit: found[unit] for unit in answers}, rel=tolerance)
    assert len(set(answers.values())) > 1
