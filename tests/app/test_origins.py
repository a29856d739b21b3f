"""Finding the reader of an origin, ours or another package's."""

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar

import pytest

import onward as ow
from onward.app import origins
from onward.app.origins import GROUP, find_readers
from onward.core.errors import DeclarationError
from onward.stages.ingest.port import Surroundings


@dataclass(frozen=True)
class Tape:
    """What another package might declare."""

    kind: ClassVar[str] = "tape"


class TapeReader:
    def __init__(self, surroundings: Surroundings) -> None:
        self.folder = surroundings.folder


def source(origin: object) -> ow.Source:
    return ow.Source("orders", origin, key="id", event_time="at")  # type: ignore[arg-type]


def installed(monkeypatch: pytest.MonkeyPatch, **named: str) -> None:
    found = [EntryPoint(name, value, GROUP) for name, value in named.items()]
    monkeypatch.setattr(origins, "entry_points", lambda group: found)


def test_the_embedded_readers_can_be_loaded(tmp_path: Path) -> None:
    for entry in origins.EMBEDDED:
        assert entry.load()(Surroundings(folder=tmp_path)).pending


def test_a_package_adds_a_reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed(monkeypatch, tape=f"{__name__}:TapeReader")
    find = find_readers(Surroundings(folder=tmp_path))
    found = find(source(Tape()))
    assert isinstance(found, TapeReader)
    assert found.folder == tmp_path
    assert find(source(Tape())) is found


def test_no_package_takes_an_embedded_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed(monkeypatch, files=f"{__name__}:TapeReader")
    found = find_readers(Surroundings(folder=tmp_path))(source(ow.files("a.csv")))
    assert not isinstance(found, TapeReader)


def test_an_unknown_kind_is_refused_where_it_stands(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="no reader for the origin 'tape'") as refused:
        find_readers(Surroundings(folder=tmp_path))(source(Tape()))
    assert "files" in str(refused.value.expected)
    assert refused.value.location is not None


@pytest.mark.parametrize("value", ["no_such_package:Reader", f"{__name__}:NoSuchReader"])
def test_a_broken_entry_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
) -> None:
    installed(monkeypatch, tape=value)
    with pytest.raises(DeclarationError, match="cannot be loaded") as refused:
        find_readers(Surroundings(folder=tmp_path))(source(Tape()))
    assert value in refused.value.what
