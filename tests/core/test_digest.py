import shutil

import pytest

from onward.core import digest
from onward.core.errors import CorruptError


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "artifacts"
    (folder / "deep").mkdir(parents=True)
    (folder / "model.pkl").write_bytes(b"\x80model")
    (folder / "deep" / "golden.json").write_text("{}")
    return folder


def test_a_copy_has_the_same_digest(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    assert digest.of_folder(tmp_path / "copy") == digest.of_folder(folder)
    digest.require(tmp_path / "copy", digest.of_folder(folder), "model:late@1")


def alter(folder):
    (folder / "model.pkl").write_bytes(b"\x80other")


def add(folder):
    (folder / "stranger.txt").write_text("")


def remove(folder):
    (folder / "deep" / "golden.json").unlink()


def rename(folder):
    (folder / "model.pkl").rename(folder / "model2.pkl")


def swap(folder):
    (folder / "model.pkl").rename(folder / "other")
    (folder / "deep" / "golden.json").rename(folder / "model.pkl")
    (folder / "other").rename(folder / "deep" / "golden.json")


@pytest.mark.parametrize("change", [alter, add, remove, rename, swap])
def test_every_change_is_refused_by_name(folder, change):
    recorded = digest.of_folder(folder)
    change(folder)
    with pytest.raises(CorruptError, match="the artifacts of model:late@1") as refused:
        digest.require(folder, recorded, "model:late@1")
    assert recorded[:16] in str(refused.value)


def test_an_empty_folder_has_a_digest(tmp_path):
    assert len(digest.of_folder(tmp_path)) == 64
