"""Layers: the same entries give the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.stages.deploy.oci.layer import Entry, diff_id, files, folder, of_tar, of_tree, write

NAMES = st.text("abc", min_size=1, max_size=3)
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: "/".join(f"d{p}" for p in parts)),
    st.binary(max_size=20),
    max_size=6,
)


def packed(entries: list[Entry]) -> bytes:
    sink = io.BytesIO()
    found = write(entries, sink)
    tar = gzip.decompress(sink.getvalue())
    assert found == diff_id(entries) == f"sha256:{hashlib.sha256(tar).hexdigest()}"
    return sink.getvalue()


@given(TREES, st.randoms())
def test_order_makes_no_difference_and_nothing_is_lost(tree, chance):
    contents = {f"{name}.f": content for name, content in tree.items()}
    entries = files(contents)
    shuffled = list(entries)
    chance.shuffle(shuffled)
    data = packed(entries)
    assert packed(shuffled) == data
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
        assert [m.name for m in members] == sorted({m.name for m in members})
        assert {m.name: tar.extractfile(m).read() for m in members if m.isfile()} == contents
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} <= {(0, 0, 0, "", "")}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small file system's root, with each kind of entry."""
    made = tmp_path / "root"
    (made / "bin").mkdir(parents=True)
    (made / "bin" / "tool").write_bytes(b"#!")
    (made / "bin" / "tool").chmod(0o4755)
    (made / "bin" / "alias").hardlink_to(made / "bin" / "tool")
    (made / "lib").symlink_to("usr/lib")
    (made / "empty").mkdir(mode=0o700)
    os.mkfifo(made / "pipe")
    return made


def test_a_root_keeps_modes_links_and_owners(root):
    entries = {entry.name: entry for entry in of_tree(root)}
    assert sorted(entries) == ["bin", "bin/alias", "bin/tool", "empty", "lib"]
    assert entries["bin/tool"].target == "bin/alias"
    assert entries["bin/alias"].mode == 0o4755
    assert (entries["lib"].kind, entries["lib"].target) == (tarfile.SYMTYPE, "usr/lib")
    assert entries["empty"].mode == 0o700
    assert entries["bin"].owner == os.getuid()


def test_a_tar_of_a_root_gives_the_layer_of_the_root(root, tmp_path):
    (root / "pipe").unlink()
    archive = tmp_path / "root.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname=".")
    os.utime(root / "bin", (1, 1))
    assert packed(list(of_tar(archive))) == packed(list(of_tree(root)))


def test_a_hard_link_comes_after_what_it_links_to(tmp_path):
    """Names are sorted; a link whose name comes first could not be unpacked."""
    archive, there = tmp_path / "root.tar", tmp_path / "there"
    with tarfile.open(archive, "w") as tar:
        tool, alias, old = (tarfile.TarInfo(f"./bin/{n}") for n in ("tool", "alias", "old"))
        tool.size = old.size = 2
        alias.type, alias.linkname = tarfile.LNKTYPE, "./bin/tool"
        old.type = tarfile.AREGTYPE  # a file, as tars before POSIX wrote it
        tar.addfile(tool, io.BytesIO(b"#!"))
        tar.addfile(alias)
        tar.addfile(old, io.BytesIO(b"#?"))
    with tarfile.open(fileobj=io.BytesIO(packed(list(of_tar(archive))))) as tar:
        tar.extractall(there, filter="tar")
    found = {path.name: path.read_bytes() for path in (there / "bin").iterdir()}
    assert found == {"alias": b"#!", "old": b"#?", "tool": b"#!"}
    assert (there / "bin" / "alias").samefile(there / "bin" / "tool")


def test_a_folder_that_is_named_has_its_own_mode_and_owner():
    with tarfile.open(fileobj=io.BytesIO(packed([folder("var/state", owner=65532)]))) as tar:
        found = {m.name: (m.uid, m.gid, m.mode) for m in tar}
    assert found == {"var": (0, 0, 0o755), "var/state": (65532, 65532, 0o755)}
