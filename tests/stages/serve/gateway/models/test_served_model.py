"""Loading: an image is whole, its model is the one that was registered, and it is called right."""

from __future__ import annotations

import json
import math
import shutil
import sys
import tarfile
import warnings
from dataclasses import replace
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import trained_models as small
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from onward.core import digest
from onward.core.errors import CorruptError
from onward.stages.deploy.step import package
from onward.stages.serve.gateway.models.image import MODEL_FOLDER, home, unpack
from onward.stages.serve.gateway.models.model import load

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def opened(folder: Path, estimator, **options):
    image = package(small.train(folder / "trained", estimator, **options), folder=folder / "images")
    return load((unpack(image, folder / "cache") / MODEL_FOLDER).parent)


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        HistGradientBoostingClassifier(max_iter=5),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
)
def test_sklearn_is_called_without_a_warning_and_as_in_training(tmp_path, estimator):
    model = opened(tmp_path, estimator)
    golden = json.loads((tmp_path / "trained/golden.json").read_text())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model.call(np.array(golden["features"], dtype=float), [()] * 32)
    assert found[:, 0].tolist() == pytest.approx(golden["predictions"], rel=1e-12)
    assert model.runtime != "frame"


class ByName(LogisticRegression):
    """An estimator that picks its columns itself."""

    def predict_proba(self, X):
        return super().predict_proba(X[self.feature_names_in_])


def test_an_estimator_that_needs_names_gets_them(tmp_path):
    assert opened(tmp_path, ByName()).runtime == "frame"


def test_text_features_go_by_name(tmp_path):
    model = opened(tmp_path, small.Named(1.0), plan=small.TEXT_PLAN)
    assert model.runtime == "frame"
    assert model.strings == (5,)
    numbers = np.array([[0.1, 1, 2, 3, 4, math.nan]] * 3)
    found = model.call(numbers, [("am",), ("pm",), (None,)])[:, 0]
    assert found[0] == pytest.approx(found[1] / 2)
    assert found[1] == found[2]


def test_the_width_is_the_task_s(tmp_path):
    assert opened(tmp_path / "a", small.Sorter(), task="multiclass").width == 3
    assert opened(tmp_path / "b", small.Pricer(), task="regression").width == 1


def resealed(folder: Path, **files: bytes) -> Path:
    """Return an unpacked model whose files were replaced, with a digest to match."""
    image = package(small.train(folder / "trained", small.Linear(1.0)), folder=folder / "images")
    root = unpack(image, folder / "cache") / MODEL_FOLDER
    for name, data in files.items():
        (root / name.replace("__", ".")).write_bytes(data)
    about = json.loads((root.parent / "model.json").read_text())
    about["digest"] = digest.of_folder(root)
    (root.parent / "model.json").write_text(json.dumps(about))
    return root.parent


def test_other_predictions_than_training_s_are_refused(tmp_path):
    trained = small.train(tmp_path / "other", small.Linear(1.0))
    golden = json.loads((Path(trained.path) / "golden.json").read_text())
    golden["predictions"][0] += 1e-6
    folder = resealed(tmp_path, golden__json=json.dumps(golden).encode())
    with pytest.raises(CorruptError, match="predicts otherwise here than in training"):
        load(folder)


def test_a_model_without_golden_rows_is_called_by_name(tmp_path):
    golden = json.dumps({"rows": [], "features": [], "predictions": [], "tolerance": 1e-9}).encode()
    assert load(resealed(tmp_path, golden__json=golden)).runtime == "frame"


def test_what_cannot_be_unpickled_is_corrupt(tmp_path):
    with pytest.raises(CorruptError, match="cannot be loaded"):
        load(resealed(tmp_path, model__pkl=b"no pickle"))


def test_an_altered_model_is_refused(tmp_path, image):
    root = unpack(image("plain"), tmp_path)
    (root / MODEL_FOLDER / "requirements.txt").write_text("something-else\n")
    with pytest.raises(CorruptError, match="not those that were recorded"):
        load((root / MODEL_FOLDER).parent)


def test_an_image_is_unpacked_once_and_read_again(tmp_path, image):
    first = unpack(image("plain"), tmp_path)
    mark = (first / MODEL_FOLDER / "model.pkl").stat().st_ino
    assert unpack(image("plain"), tmp_path) == first
    assert (first / MODEL_FOLDER / "model.pkl").stat().st_ino == mark
    assert digest.of_folder(first / MODEL_FOLDER) == image("plain").model.digest


def test_a_model_that_lies_unpacked_is_loaded_from_there(tmp_path, image):
    unpacked = (unpack(image("plain"), tmp_path / "first") / MODEL_FOLDER).parent
    there = replace(image("plain"), layout=str(unpacked))
    assert home(there, tmp_path / "cache") == unpacked
    assert not (tmp_path / "cache").exists()
    assert load(home(there, tmp_path / "cache")).version == 1
    packed = home(image("plain"), tmp_path / "cache")
    assert digest.of_folder(packed) == digest.of_folder(unpacked)


def test_every_altered_blob_is_found(tmp_path, image):
    blobs = Path(image("plain").layout) / "blobs" / "sha256"
    names = sorted(p.name for p in blobs.iterdir())
    assert len(names) == 4
    for name in names:
        copy = tmp_path / name[:8]
        shutil.copytree(image("plain").layout, copy)
        blob = copy / "blobs/sha256" / name
        data = blob.read_bytes()
        blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(CorruptError, match="was altered"):
            unpack(replace(image("plain"), layout=str(copy)), tmp_path / "cache")
        blob.unlink()
        with pytest.raises(CorruptError, match="lacks blob"):
            unpack(replace(image("plain"), layout=str(copy)), tmp_path / "cache")
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("index", [None, "{", "{}", '{"manifests": 1}'])
def test_what_is_no_layout_is_refused(tmp_path, image, index):
    if index is not None:
        (tmp_path / "index.json").write_text(index)
    with pytest.raises(CorruptError, match="no OCI image layout"):
        unpack(replace(image("plain"), layout=str(tmp_path)), tmp_path / "cache")


def test_a_layer_that_reaches_outside_is_refused(tmp_path, image):
    import hashlib
    import io

    copy = tmp_path / "layout"
    shutil.copytree(image("plain").layout, copy)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    manifest = json.loads((copy / "blobs/sha256" / image("plain").digest[7:]).read_text())

    def put(data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        (copy / "blobs/sha256" / name).write_bytes(data)
        return f"sha256:{name}"

    manifest["layers"][0]["digest"] = put(buffer.getvalue())
    evil = put(json.dumps(manifest).encode())
    (copy / "index.json").write_text(json.dumps({"manifests": [{"digest": evil}]}))
    with pytest.raises(CorruptError, match="outside"):
        unpack(replace(image("plain"), layout=str(copy), digest=evil), tmp_path / "cache")
    assert not (tmp_path / "outside").exists()
    assert list((tmp_path / "cache").iterdir()) == []
