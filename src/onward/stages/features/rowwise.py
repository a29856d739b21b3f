"""A feature computed in training must come out the same when its row is asked for alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from onward.core.errors import DataError
from onward.stages.features.request import OnDemandFeatures

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_TOLERANCE: Final = 1e-9  # relative: vector instructions may differ in a last digit


def require_rowwise(
    features: OnDemandFeatures,
    request: Mapping[str, pa.ChunkedArray],
    looked_up: Mapping[str, pa.ChunkedArray],
    computed: Mapping[str, np.ndarray],
) -> None:
    """Compute the first, the middle and the last row again, alone and as JSON would bring them.

    `looked_up` has the views' features that functions read, and NULL where one is missing.

    Raises
    ------
    DataError
        A function's answer for a row depends on the rows around it (it takes a mean, say): the
        gateway would compute another feature than training did.
    """
    count = min(map(len, request.values()))
    for row in sorted({0, count // 2, count - 1}):
        sent = {name: [_json(values[row].as_py())] for name, values in request.items()}
        found = {name: [values[row].as_py()] for name, values in looked_up.items()}
        for name, alone in features.columns(sent, found).items():
            if not _same(alone[0], computed[name][row]):
                raise _refused(features, name, alone[0], computed[name][row])


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _same(one: Any, other: Any) -> bool:
    if not isinstance(one, float) or not isinstance(other, float):
        return bool(one == other)
    return math.isclose(one, other, rel_tol=_TOLERANCE) or (math.isnan(one) and math.isnan(other))


def _refused(features: OnDemandFeatures, name: str, alone: Any, among: Any) -> DataError:
    function = features.giving(name)
    return DataError(
        f"on-demand function {function.name!r} gives {name}={alone} for a row alone"
        f" and {among} for the same row among others",
        expected="each row's features from that row's values only, as the gateway computes them",
        next_step="move what looks across rows, such as a mean, into a feature view",
        location=function.location,
    )
