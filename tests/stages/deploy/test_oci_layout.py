"""The layout: blobs by digest, one index, several writers."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from onward.core.errors import CorruptError, NotFoundError
from onward.stages.deploy.oci.descriptor import LAYER, MANIFEST, Descriptor
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.oci.referrers import attach, content, fallback_index, referrers


@pytest.fixture
def layout(tmp_path) -> Layout:
    return Layout(tmp_path / "layout")


def put(layout: Layout, text: str) -> Descriptor:
    return layout.put(json.dumps({"said": text}).encode(), MANIFEST)


def test_a_tag_moves_and_what_it_left_stays_listed(layout):
    old, new = put(layout, "old"), put(layout, "new")
    layout.list_entry(old, tag="m:1")
    layout.list_entry(new)
    assert layout.resolve("m:1").digest == old.digest
    layout.list_entry(new, tag="m:1")
    assert layout.resolve("m:1").digest == new.digest
    assert [e.digest for e in layout.entries()] == [new.digest, old.digest]
    layout.list_entry(new, tag="m:2")
    assert {tag: e.digest for tag, e in layout.tags().items()} == {
        "m:1": new.digest,
        "m:2": new.digest,
    }
    assert layout.resolve(old.digest[:20]).digest == old.digest


def test_what_is_not_there_is_answered_with_the_nearest_name(layout):
    layout.list_entry(put(layout, "one"), tag="returns:1")
    with pytest.raises(NotFoundError, match="no image 'return:1'") as refused:
        layout.resolve("return:1")
    assert "did you mean 'returns:1'?" in refused.value.expected


def test_an_altered_or_missing_blob_is_refused(layout):
    found = put(layout, "one")
    layout.path(found.digest).write_bytes(b"other")
    for read in (layout.read, layout.require):
        with pytest.raises(CorruptError, match="was altered"):
            read(found.digest)
    layout.path(found.digest).unlink()
    for read in (layout.read, layout.require):
        with pytest.raises(CorruptError, match="lacks blob"):
            read(found.digest)


def test_an_index_that_is_none_is_refused(layout):
    layout.folder.mkdir()
    (layout.folder / "index.json").write_text("[]")
    with pytest.raises(CorruptError, match="no OCI image layout"):
        layout.entries()


def test_a_write_that_fails_leaves_nothing(layout):
    def half() -> None:
        with layout.writing() as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert [p for p in layout.folder.rglob("*") if p.is_file()] == []


def test_a_file_becomes_a_blob_once(layout, tmp_path):
    (tmp_path / "f").write_bytes(b"content")
    first = layout.put_file(tmp_path / "f", LAYER)
    before = layout.path(first.digest).stat().st_ino
    assert layout.put_file(tmp_path / "f", LAYER) == first
    assert layout.path(first.digest).stat().st_ino == before
    assert layout.read(first.digest) == b"content"


WRITER = """
import sys
from pathlib import Path
from onward.stages.deploy.oci.layout import Layout
layout = Layout(Path(sys.argv[1]))
for i in range(10):
    data = f"{sys.argv[2]} {i}".encode()
    layout.list_entry(layout.put(data, "x"), tag=f"{sys.argv[2]}:{i}")
"""


def test_processes_that_write_at_once_lose_nothing(layout):
    command = [sys.executable, "-c", WRITER, str(layout.folder)]
    writers = [subprocess.Popen([*command, name]) for name in ("a", "b", "c")]
    assert [w.wait() for w in writers] == [0, 0, 0]
    assert sorted(layout.tags()) == [f"{name}:{i}" for name in "abc" for i in range(10)]


def test_artifacts_are_found_by_their_subject(layout):
    one, other = put(layout, "one"), put(layout, "other")
    for found in (one, other):
        layout.list_entry(found)
    bill = attach(layout, one, "application/b", b"bill")
    note = attach(layout, one, "application/a", b"note")
    assert attach(layout, one, "application/b", b"bill") == bill
    assert [e.digest for e in referrers(layout, one)] == [note.digest, bill.digest]
    assert content(layout, bill) == b"bill"
    assert referrers(layout, other) == []
    manifest = layout.json(bill.digest)
    assert manifest["subject"] == one.to_json()
    assert manifest["artifactType"] == "application/b"
    listed = json.loads(fallback_index(referrers(layout, one)))
    assert [m["artifactType"] for m in listed["manifests"]] == ["application/a", "application/b"]
