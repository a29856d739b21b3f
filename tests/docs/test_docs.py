"""What the pages say is there is there."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

import onward
from marked_pages import page as read
from onward.app.load import load_definition
from onward.surfaces.cli.commands import cli

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "onward"
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *PACKAGE.glob("app/templates/*/*.md")]
)
DECISIONS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^\$?\s*|`|\$ )onward ([a-z]+)(?: ([a-z]+))?", re.MULTILINE)
TARGET = re.compile(r"(?:^\$?\s*|`)make ([a-z]+)", re.MULTILINE)


def shown(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_lead_somewhere(page):
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_commands_exist(page):
    known = get_command(cli).commands
    for name, second in COMMAND.findall(page.read_text()):
        assert name in known
        group = getattr(known[name], "commands", None)
        alone = getattr(known[name], "invoke_without_command", False)
        assert group is None or second in group or (alone and not second)


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(TARGET.findall(page.read_text())) <= targets


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_python_in_pages_parses(page):
    for language, code in BLOCK.findall(page.read_text()):
        if language == "python":
            ast.parse(code)


def test_the_readmes_pipeline_is_one(tmp_path):
    (tmp_path / "readme_pipeline.py").write_text(read("README.md").block("pipeline"))
    definition = load_definition(tmp_path / "readme_pipeline.py")
    assert definition.model == "order_return"
    assert set(definition.sources) == {"orders"}


def test_public_names_in_pages_exist():
    named = {
        name
        for page in [*PAGES, *PACKAGE.glob("app/templates/*/pipeline.py")]
        for name in re.findall(r"\bow\.(\w+)", page.read_text())
    }
    assert named <= set(onward.__all__)


@pytest.mark.parametrize("name", [n for n in onward.__all__ if n not in ("OnwardError", "load")])
def test_every_declaration_is_shown_in_a_template_or_a_page(name):
    pages = [*PAGES, *PACKAGE.glob("app/templates/*/pipeline.py")]
    assert any(re.search(rf"\bow\.{name}\b", page.read_text()) for page in pages)


def test_decisions_are_numbered_without_gaps_and_listed():
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    assert [page.name for page in DECISIONS] == re.findall(r"\((\d{4}-[\w-]+\.md)\)", index)


@pytest.mark.parametrize("page", DECISIONS, ids=shown)
def test_a_decision_says_what_was_at_stake_and_what_it_costs(page):
    text = page.read_text()
    assert text.startswith(f"# {page.name[:4]} ")
    assert re.search(r"^Status: (accepted|replaced by \d{4}), \w+ \d{4}$", text, re.MULTILINE)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert (headings[0], headings[2], headings[3]) == (
        "At stake",
        "Decision",
        "What it costs, and how it is paid",
    )


def test_the_changelog_names_this_version():
    assert f"## [{onward.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_contributing_lists_every_room():
    rooms = set()
    for layer in PACKAGE.iterdir():
        if layer.is_dir() and layer.name != "__pycache__":
            inner = [r for r in layer.iterdir() if (r / "__init__.py").exists()]
            split = layer.name in ("stages", "watch")
            rooms |= {f"{layer.name}/{r.name}" for r in inner} if split else {layer.name}
    listed = re.findall(r"^\| `([\w/]+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert set(listed) == rooms
    assert len(listed) == len(rooms)


def test_the_licence_is_the_one_that_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "LICENSE").read_text()
    assert project["license"] == "Apache-2.0"
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "9. Accepting Warranty or Additional Liability" in text
