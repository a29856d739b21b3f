import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from onward.app import init
from onward.app.init import create_project, templates
from onward.app.settings.sections import Settings
from onward.app.settings.sources import read_settings
from onward.core.errors import DeclarationError, NotFoundError, OnwardError


def test_there_is_something_to_begin_with():
    assert templates() == ("flights", "starter")


@pytest.mark.parametrize("template", templates())
def test_a_new_project_is_complete_and_named(tmp_path, template):
    folder = tmp_path / "deep" / "shop"
    files = create_project(folder, "shop", template)
    assert sorted(p for p in folder.rglob("*") if p.is_file()) == files
    written = {str(p.relative_to(folder)) for p in files}
    assert written >= {
        ".github/workflows/onward.yml", ".gitignore", "README.md", "onward.toml", "pipeline.py",
        "tests/test_pipeline.py",
    }  # fmt: skip
    assert read_settings(folder, environment={}).project.name == "shop"
    assert (folder / "README.md").read_text().startswith("# shop\n")
    assert sorted(p.name for p in folder.parent.iterdir()) == ["shop"]


@pytest.mark.parametrize("template", templates())
def test_the_settings_file_shows_every_setting_at_its_default(tmp_path, template):
    create_project(tmp_path / "onward", "onward", template)
    shown = tomllib.loads((tmp_path / "onward" / "onward.toml").read_text())
    settings = read_settings(tmp_path / "onward", environment={})
    assert settings == Settings(folder=tmp_path / "onward")
    for section, names in shown.items():
        assert set(names) == set(getattr(settings, section).__dataclass_fields__)


@pytest.mark.parametrize("template", templates())
def test_a_projects_own_tests_pass(tmp_path, template):
    create_project(tmp_path / "shop", "shop", template)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "shop", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "passed" in run.stdout


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "shop").mkdir()
    assert create_project(tmp_path / "shop", "shop", "starter")


def test_here_is_named_after_its_folder(tmp_path, monkeypatch):
    (tmp_path / "shop").mkdir()
    monkeypatch.chdir(tmp_path / "shop")
    create_project(Path(), Path().name, "starter")
    assert read_settings(tmp_path / "shop", environment={}).project.name == "shop"


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OnwardError, match="is there already"):
        create_project(tmp_path, "shop", "starter")
    with pytest.raises(OnwardError, match="is there already"):
        create_project(tmp_path / "mine.txt", "shop", "starter")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_mistyped_template_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(NotFoundError, match="did you mean 'starter'"):
        create_project(tmp_path / "shop", "shop", "stater")
    assert not (tmp_path / "shop").exists()


@pytest.mark.parametrize("name", ['a"b', "a b", ".hidden", "-flag", "a\nb"])
def test_a_name_that_no_settings_file_could_hold_is_refused(tmp_path, name):
    with pytest.raises(DeclarationError, match="cannot name a project"):
        create_project(tmp_path / "shop", name, "starter")
    assert not (tmp_path / "shop").exists()


def test_a_copy_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(init, "_NAMED", ("absent.toml",))
    with pytest.raises(FileNotFoundError):
        create_project(tmp_path / "shop", "shop", "starter")
    assert list(tmp_path.iterdir()) == []


def test_what_was_left_in_a_template_is_not_copied(tmp_path, monkeypatch):
    (tmp_path / "templates" / "one" / "__pycache__").mkdir(parents=True)
    for name in ("onward.toml", "README.md", "__pycache__/pipeline.pyc"):
        (tmp_path / "templates" / "one" / name).write_text("PROJECT_NAME")
    monkeypatch.setattr(init, "TEMPLATES", tmp_path / "templates")
    files = create_project(tmp_path / "shop", "shop", "one")
    assert [p.name for p in files] == ["README.md", "onward.toml"]
