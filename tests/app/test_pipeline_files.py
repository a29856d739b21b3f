"""Which files a pipeline is made of: all that it imports from its folder's tree are watched."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from onward.app.pipeline_files import PipelineFiles
from onward.app.project import Project, open_project
from onward.core.errors import DeclarationError

RATES = "def per_item(amount, items):\n    return amount / items\n"


@pytest.fixture
def project(shop: Path) -> Iterator[Project]:
    """A shop whose pipeline imports from a package in a package, and derives a table by a query."""
    (shop / "parts" / "prices").mkdir(parents=True)
    (shop / "parts" / "__init__.py").touch()
    (shop / "parts" / "prices" / "__init__.py").touch()
    (shop / "parts" / "prices" / "rates.py").write_text(RATES)
    (shop / "queries").mkdir()
    (shop / "queries" / "dear.sql").write_text("SELECT * FROM orders WHERE amount > 10")
    (shop / "notes").mkdir()
    (shop / "notes" / "unrelated.py").write_text("1 / 0\n")
    file = shop / "pipeline.py"
    text = file.read_text().replace("amount / items}", "per_item(amount, items)}")
    text = text.replace(
        "import onward as ow\n",
        "import onward as ow\nfrom parts.prices.rates import per_item\n",
    )
    query = 'dear = ow.sql_transform("dear", "queries/dear.sql")'
    text = text.replace("@ow.feature_view", f"{query}\n\n\n@ow.feature_view")
    file.write_text(text)
    with open_project(shop) as opened:
        yield opened
    for name in [name for name in sys.modules if name.partition(".")[0] == "parts"]:
        del sys.modules[name]


@pytest.fixture
def files(project: Project) -> PipelineFiles:
    found = PipelineFiles(project)
    assert found.changed(), "at the first look they have"
    found.load()
    assert found.loaded
    assert not found.changed()
    return found


def rewritten(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    later = path.stat().st_mtime_ns + 2_000_000_000  # compiled files know whole seconds
    os.utime(path, ns=(later, later))


def test_a_module_of_a_package_is_watched_and_loaded_again(
    project: Project, files: PipelineFiles
) -> None:
    before = project.definition.digest
    rewritten(project.settings.folder / "parts/prices/rates.py", "amount / items", "amount * items")
    assert files.changed()
    assert not files.loaded
    files.load()
    assert files.loaded
    assert project.definition.digest != before
    assert not files.changed()


def test_queries_in_folders_are_watched_and_what_is_not_imported_is_not(
    project: Project, files: PipelineFiles
) -> None:
    folder, before = project.settings.folder, project.definition.digest
    rewritten(folder / "notes/unrelated.py", "1 / 0", "2 / 0")
    assert not files.changed()
    rewritten(folder / "queries/dear.sql", "> 10", "> 12")
    assert files.changed()
    files.load()
    assert project.definition.digest != before


def test_what_cannot_be_loaded_is_tried_once_and_watched_until_it_is_mended(
    project: Project, files: PipelineFiles
) -> None:
    folder, before = project.settings.folder, project.definition
    fresh = folder / "parts/fresh.py"
    fresh.write_text("def broken(:\n")
    rewritten(folder / "pipeline.py", "import onward as ow\n", "import onward as ow, parts.fresh\n")
    assert files.changed()
    with pytest.raises(DeclarationError, match="not valid Python"):
        files.load()
    assert project.definition is before
    assert not files.loaded
    assert not files.changed(), "nobody touched it since"
    rewritten(fresh, "def broken(:", "whole = True")
    assert files.changed()
    files.load()
    assert files.loaded


def test_a_file_that_goes_is_a_change(project: Project, files: PipelineFiles) -> None:
    folder = project.settings.folder
    beside = folder / "beside.py"
    beside.write_text("")
    assert files.changed()
    files.load()
    beside.unlink()
    assert files.changed()
    files.load()
    assert not files.changed()
