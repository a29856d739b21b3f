"""Loading the pipeline file: what is wrong with it is said with file, line and nearest name."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from onward.app.load import commit_of, load_definition, own_files
from onward.core.errors import DeclarationError, NotFoundError, OnwardError


def replaced(shop: Path, old: str, new: str) -> Path:
    file = shop / "pipeline.py"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return file


def failure(file: Path) -> OnwardError:
    with pytest.raises(OnwardError) as caught:
        load_definition(file)
    return caught.value


def line_of(file: Path, text: str) -> int:
    return next(n for n, line in enumerate(file.read_text().splitlines(), 1) if text in line)


def test_a_good_file_becomes_a_definition(shop: Path) -> None:
    definition = load_definition(shop / "pipeline.py")
    assert definition.model == "order_return"
    assert list(definition.sources) == ["orders"]
    assert [t.name for t in definition.transforms] == ["sold"]
    assert [v.name for v in definition.views] == ["habits"]
    assert definition.table("orders") == "raw.orders"
    assert definition.table("sold") == "derived.sold"
    assert definition.commit is None


def test_comments_do_not_change_the_digest_and_logic_does(shop: Path) -> None:
    file = shop / "pipeline.py"
    first = load_definition(file).digest
    file.write_text("# a remark\n" + file.read_text())
    assert load_definition(file).digest == first
    replaced(shop, "_.amount > 0", "_.amount > 1")
    second = load_definition(file).digest
    assert second != first
    replaced(shop, '"price": amount / items', '"price": amount * items')
    assert load_definition(file).digest not in (first, second)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="onward init NAME"):
        load_definition(tmp_path / "pipeline.py")


def test_an_audience_reads_what_requests_bring(shop: Path) -> None:
    audience = 'ow.Canary(audience="amont > 3", '
    file = replaced(shop, "ow.Canary(", audience)
    said = failure(file)
    assert said.what == "the audience 'amont > 3': there is no request column 'amont'"
    assert "did you mean 'amount'?" in str(said.expected)
    assert said.location is not None
    assert said.location.line == line_of(file, audience)


def test_a_mistyped_argument_is_answered_with_the_nearest(shop: Path) -> None:
    file = replaced(shop, "checks=[", "chekcs=[")
    error = failure(file)
    assert "unexpected keyword argument 'chekcs'" in error.what
    assert error.expected == "did you mean 'checks'?"


def test_a_mistyped_declaration_is_answered_with_the_nearest(shop: Path) -> None:
    file = replaced(shop, "ow.Pipeline(", "ow.Pipelin(")
    assert failure(file).expected == "did you mean 'Pipeline'?"


def test_a_syntax_error_is_named_with_its_line(shop: Path) -> None:
    file = replaced(shop, "def sold(orders):", "def sold(orders:")
    error = failure(file)
    assert error.location is not None
    assert error.location.line == line_of(file, "def sold(orders:")
    assert "not valid Python" in error.what


def test_a_file_that_raises_is_named_with_the_users_line(shop: Path) -> None:
    file = replaced(shop, "@ow.transform\n", "1 / 0\n\n\n@ow.transform\n")
    error = failure(file)
    assert error.location is not None
    assert error.location.line == line_of(file, "1 / 0")
    assert "ZeroDivisionError" in error.what


def test_an_input_that_nothing_declares_names_the_closest(shop: Path) -> None:
    file = replaced(shop, "def habits(sold):", "def habits(solt):")
    error = failure(file)
    assert isinstance(error, DeclarationError)
    assert "'solt'" in str(error)
    assert "did you mean 'sold'" in str(error)
    assert error.location is not None
    assert Path(error.location.file) == file


_BOTH = "both a source and a transform"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("pipeline = ow.Pipeline(", "other = lambda **k: k\nother(", "declares no pipeline"),
        (
            "@ow.transform\n",
            "again = ow.sql_transform('orders', 'x.sql')\n\n\n@ow.transform\n",
            _BOTH,
        ),
        ("label=returned,", "label=print,", "@ow.label"),
        ("features=[habits, basket]", "features=[]", "has no features"),
        ("features=[habits, basket]", "features=[habits, orders]", "is no feature of model"),
        ('ow.at_least("roc_auc", 0.6)', 'ow.at_least("roc_auk", 0.6)', "did you mean 'roc_auc'"),
    ],
)
def test_what_does_not_fit_together_is_refused(shop: Path, old: str, new: str, words: str) -> None:
    from onward.app.project import open_project

    replaced(shop, old, new)
    with pytest.raises(DeclarationError) as caught:
        open_project(shop).definition  # noqa: B018 (reading it loads the file)
    assert words in str(caught.value)


def test_the_commit_is_told_and_so_is_a_change_after_it(shop: Path) -> None:
    def git(*words: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", str(shop), *identity, *words], check=True, capture_output=True)

    git("init", "-q")
    git("add", "pipeline.py")
    git("commit", "-qm", "first")
    clean = commit_of(shop)
    assert clean is not None
    assert len(clean) == 40
    (shop / "pipeline.py").write_text("changed = 1\n")
    assert commit_of(shop) == f"{clean}-dirty"


def test_the_own_files_are_those_of_the_tree_that_are_no_installed_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, place in enumerate((".", "parts/deep", ".venv/lib", "env/lib/site-packages")):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        name = f"own_{number}"
        (tmp_path / place / f"{name}.py").write_text("")
        monkeypatch.syspath_prepend(tmp_path / place)
        monkeypatch.setitem(sys.modules, name, importlib.import_module(name))
    assert own_files(tmp_path) == [tmp_path / "own_0.py", tmp_path / "parts/deep/own_1.py"]
