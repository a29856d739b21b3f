"""The folder of a fitted model: what is in it, and how it comes to be there at once."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onward.core import digest
from onward.core.estimator import classes_of
from onward.core.files import remove_unfinished, write_whole
from onward.stages.train import environment
from onward.stages.train.fit import Fit, Fitted
from onward.stages.train.golden import golden
from onward.stages.train.onnx_form import TOLERANCE

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def contents(
    job: Fit,
    estimator: Any,
    *,
    model: bytes,
    onnx: bytes | None,
    request_features: bytes,
    holdout: pa.Table,
    x: pd.DataFrame,
    distributions: Mapping[str, str],
) -> dict[str, bytes]:
    """Return the folder's files: nothing in them but what the fit's inputs decide.

    `model` is the estimator, and `request_features` the on-demand functions, as pickles; `onnx` the
    estimator's ONNX form, if that is how it is served.
    """
    plan = {
        "plan": dataclasses.asdict(job.training.plan),
        "task": job.task,
        "model": job.model,
        "label": job.training.label,
        "classes": classes_of(estimator, job.task),
    }
    surroundings = {
        **environment.machine(),
        "distributions": distributions,
        "commit": job.commit,
        "seeds": {"PYTHONHASHSEED": 0, "random": 0, "numpy": 0},
    }
    least = 0.0 if onnx is None else TOLERANCE
    examples = golden(estimator, holdout, x, job.training.plan, job.task, least=least)
    files = {
        "model.pkl": model,
        "request_features.pkl": request_features,
        "plan.json": _json(plan),
        "environment.json": _json(surroundings),
        "requirements.txt": environment.requirements(distributions).encode(),
        "golden.json": _json(examples),
    }
    if onnx is not None:
        files["model.onnx"] = onnx
    if job.source is not None:
        files["code.py"] = job.source.encode()
    return files


def kept(root: Path, key: str) -> Fitted | None:
    """Return what was fitted from these inputs before, if it is there and unaltered."""
    record, folder = _record(root, key), root / key
    if not (record.exists() and folder.exists()):
        return None
    stored = json.loads(record.read_text())
    fitted = Fitted(**{**stored, "holdout_from": datetime.fromisoformat(stored["holdout_from"])})
    whole = digest.of_folder(folder) == fitted.digest
    return dataclasses.replace(fitted, kept=True) if whole else None


def keep(root: Path, files: Mapping[str, bytes], *, key: str, **facts: Any) -> Fitted:
    """Put a folder and its record in place, each whole or not at all; the record last."""
    folder, unfinished = root / key, root / f".{key}"
    for left in (unfinished, folder):  # by a crash, without a record; or altered
        if left.exists():
            shutil.rmtree(left)
    unfinished.mkdir(parents=True)
    remove_unfinished(root, _record(root, key).name)
    for name, content in files.items():
        (unfinished / name).write_bytes(content)
    unfinished.rename(folder)
    fitted = Fitted(id=key, path=str(folder), digest=digest.of_folder(folder), **facts)
    stored = {**dataclasses.asdict(fitted), "holdout_from": fitted.holdout_from.isoformat()}
    write_whole(_record(root, key), _json(stored))
    return fitted


def _record(root: Path, key: str) -> Path:
    return root / f"{key}.json"


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
