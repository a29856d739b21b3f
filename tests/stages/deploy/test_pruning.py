"""Pruning a layout: what goes, what is shared, and what a crash leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.core.errors import CorruptError
from onward.stages.deploy.oci.descriptor import MANIFEST, Descriptor, canonical
from onward.stages.deploy.oci.image import Image, Layer, add_image, add_layer, read_image
from onward.stages.deploy.oci.layer import files
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.oci.pruning import planned, prune
from onward.stages.deploy.oci.referrers import attach, content, referrers

LATER = datetime.now(UTC) + timedelta(days=1)
"""By then every blob is old enough."""
HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)


def layer(layout: Layout, text: str) -> Layer:
    return add_layer(layout, files({"said": text.encode()}), created_by="test", annotations={})


def image(layout: Layout, name: str, *texts: str) -> Descriptor:
    """Make and list an image of layers that hold these texts, with a bill attached."""
    found = add_image(
        layout, [layer(layout, t) for t in texts],
        config={"Labels": {"name": name}}, annotations={}, platform="linux/amd64",
    )  # fmt: skip
    layout.list_entry(found, tag=name)
    attach(layout, found, "application/bill+json", canonical({"of": name}))
    return found


def whole(layout: Layout, found: Descriptor) -> Image:
    """Read an image, with every blob of it and of what is attached to it."""
    read = read_image(layout, found)
    for each in read.layers:
        layout.require(each.descriptor.digest)
    [bill] = referrers(layout, found)
    content(layout, bill)
    return read


def gone(layout: Layout, *going: Descriptor, dry_run: bool = False):
    act = planned if dry_run else prune
    return act(layout, {each.digest for each in going}, before=LATER)


def blobs(layout: Layout) -> set[str]:
    return {f"sha256:{file.name}" for file in (layout.folder / "blobs" / "sha256").iterdir()}


def test_what_is_shared_goes_with_the_last_that_needs_it(tmp_path):
    layout = Layout(tmp_path / "layout")
    one, two = image(layout, "m:1", "base", "one"), image(layout, "m:2", "base", "two")
    shared = whole(layout, one).layers[0].descriptor.digest
    before = blobs(layout)
    plan = gone(layout, one, dry_run=True)
    assert blobs(layout) == before
    done = gone(layout, one)
    assert done == plan
    assert done.bytes == sum(done.blobs.values()) > 0
    assert shared not in done.blobs
    assert before - blobs(layout) == set(done.blobs)
    assert list(layout.tags()) == ["m:2"]
    whole(layout, two)
    assert shared in gone(layout, two).blobs
    assert blobs(layout) == set()
    assert gone(layout) == gone(layout, one)


def test_young_blobs_wait_and_claimed_ones_are_young(tmp_path):
    layout = Layout(tmp_path / "layout")
    one = image(layout, "m:1", "one")
    assert prune(layout, {one.digest}, before=HOUR_AGO).young == len(blobs(layout)) > 0
    for digest in blobs(layout):
        os.utime(layout.path(digest), (0, 0))
    claimed = next(iter(blobs(layout)))
    assert layout.claim(claimed)
    assert not layout.claim(f"sha256:{'0' * 64}")
    left = prune(layout, (), before=HOUR_AGO)
    assert (left.young, blobs(layout)) == (1, {claimed})


def test_nothing_goes_while_it_is_not_known_what_an_image_needs(tmp_path):
    layout = Layout(tmp_path / "layout")
    one, two = image(layout, "m:1", "one"), image(layout, "m:2", "two")
    layout.path(two.digest).write_bytes(b"{}")
    before = blobs(layout)
    with pytest.raises(CorruptError, match="was altered"):
        gone(layout, one)
    assert (blobs(layout), set(layout.tags())) == (before, {"m:1", "m:2"})


def test_the_base_that_the_next_image_is_built_on_stays(tmp_path):
    layout = Layout(tmp_path / "layout")
    config = layout.put(b"{}", "config")
    base = layout.put(
        canonical({"config": config.to_json(), "layers": [], "schemaVersion": 2}), MANIFEST
    )
    named = {
        "org.opencontainers.image.base.digest": base.digest,
        "org.opencontainers.image.base.name": f"host/python@{base.digest}",
    }
    root = layer(layout, "a root")
    of_root = {"org.opencontainers.image.base.digest": root.descriptor.digest}
    rooted = add_image(layout, [root], config={}, annotations=of_root, platform="linux/amd64")
    layout.list_entry(rooted, tag="m:2")
    built = add_image(
        layout, [layer(layout, "x")], config={}, annotations=named, platform="linux/amd64"
    )
    layout.list_entry(built, tag="m:1")
    assert gone(layout).blobs == {}
    assert {base.digest, config.digest} <= set(gone(layout, built).blobs)


@settings(max_examples=25, deadline=None)
@given(
    made=st.lists(st.sets(st.integers(0, 5), min_size=1), min_size=1, max_size=5, unique_by=tuple),
    going=st.sets(st.integers(0, 4)),
)
def test_every_image_that_stays_is_whole_and_nothing_else_is_left(
    tmp_path_factory, made: list[set[int]], going: set[int]
):
    layout = Layout(tmp_path_factory.mktemp("layout"))
    images = [
        image(layout, f"m:{n}", *(f"layer {each}" for each in sorted(holds)))
        for n, holds in enumerate(made)
    ]
    gone(layout, *(found for n, found in enumerate(images) if n in going))
    stay = [found for n, found in enumerate(images) if n not in going]
    assert {e.digest for e in layout.tags().values()} == {e.digest for e in stay}
    needed = set()
    for found in stay:
        needed |= {each.descriptor.digest for each in whole(layout, found).layers}
    assert {entry.digest for entry in layout.entries()} <= blobs(layout)
    layers = {f"sha256:{p.name}" for p in (layout.folder / "blobs/sha256").iterdir()
              if p.read_bytes()[:2] == b"\x1f\x8b"}  # fmt: skip
    assert layers == needed


_PRUNE = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.oci.pruning import prune

folder, going, fatal = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
done = 0
def counted(act):
    def acting(*given, **named):
        global done
        if done == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1
        return act(*given, **named)
    return acting

Path.replace, Path.unlink = counted(Path.replace), counted(Path.unlink)
prune(Layout(folder), {going}, before=datetime(9999, 1, 1, tzinfo=UTC))
"""


@pytest.mark.crash
@pytest.mark.parametrize("fatal", [0, 3, 4, 5, 7])
def test_a_pruning_that_is_killed_leaves_every_image_that_stays_whole(tmp_path: Path, fatal: int):
    """Killed before the index is replaced, after it, and between two blobs.

    Each of the layout's two files is replaced in two acts.
    """
    layout = Layout(tmp_path / "layout")
    one, two = image(layout, "m:1", "base", "one"), image(layout, "m:2", "base", "two")
    before = blobs(layout)
    ended = subprocess.run(
        [sys.executable, "-c", _PRUNE, str(layout.folder), one.digest, str(fatal)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    whole(layout, two)
    listed = "m:1" in layout.tags()
    assert listed == (fatal < 4)
    if listed:
        whole(layout, one)
    assert len(before) - len(blobs(layout)) == max(0, fatal - 4)
    gone(layout, one)
    whole(layout, two)
    assert gone(layout).blobs == {}
