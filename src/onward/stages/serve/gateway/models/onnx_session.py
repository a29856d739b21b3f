"""A model in its ONNX form, as ONNX Runtime calls it: on one thread, without a DataFrame.

Its inputs are one matrix, or a tensor for each column, named after it, of shape (n, 1). A missing
number is NaN, a missing text is empty; where training found that the form does not answer such
rows as the estimator does, they are the estimator's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from onward.core.errors import CorruptError
from onward.stages.serve.gateway.models.runtimes import Call, Texts

if TYPE_CHECKING:
    import numpy as np

MATRIX: Final = "__rows__"
"""The input that is the whole matrix."""

_GAPS: Final = "onward.gaps"


def by_session(
    content: bytes, names: Sequence[str], strings: Sequence[int], width: int, otherwise: Call
) -> Call:
    """Return what calls an ONNX model with numbers (n, n_features) and the rows' texts.

    `names` are the features', `strings` the places of the texts among them, and `width` is how
    many figures a row has. `otherwise` calls the estimator.

    Raises
    ------
    CorruptError
        ONNX Runtime is not installed, or does not read the model.
    """
    import numpy as np

    session = _opened(content)
    feeds, run = _feeds(session, names, strings), session.run
    wanted = [session.get_outputs()[-1].name]

    def call(numbers: np.ndarray, texts: Texts) -> np.ndarray:
        [found] = run(wanted, feeds(numbers, texts))
        return np.asarray(found.reshape(len(numbers), -1)[:, -width:], dtype=np.float64)

    if session.get_modelmeta().custom_metadata_map[_GAPS] == "taken":
        return call
    numeric = [place for place in range(len(names)) if place not in strings]

    def divided(numbers: np.ndarray, texts: Texts) -> np.ndarray:
        gaps = ~np.isfinite(numbers[:, numeric]).all(axis=1)
        if strings:
            gaps |= [None in row for row in texts]
        if not gaps.any():
            return call(numbers, texts)
        found = np.empty((len(numbers), width))
        for rows, ask in ((np.flatnonzero(~gaps), call), (np.flatnonzero(gaps), otherwise)):
            if len(rows):
                some = [texts[row] for row in rows.tolist()] if strings else []
                found[rows] = ask(numbers[rows], some)
        return found

    return divided


def _opened(content: bytes) -> Any:
    try:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise CorruptError(
            f"the model's ONNX form cannot be loaded: {type(error).__name__}: {error}",
            next_step="pip install 'onward[onnx]', at the versions in the image's requirements.txt",
        ) from error


def _feeds(
    session: Any, names: Sequence[str], strings: Sequence[int]
) -> Callable[..., dict[str, Any]]:
    import numpy as np

    inputs = session.get_inputs()
    dtypes = {"tensor(double)": np.float64, "tensor(float)": np.float32}
    kinds = {given.name: dtypes.get(given.type) for given in inputs}
    if MATRIX in kinds:
        return lambda numbers, _: {MATRIX: numbers.astype(kinds[MATRIX])}
    at = {name: place for place, name in enumerate(names)}
    text = {place: column for column, place in enumerate(strings)}

    def feeds(numbers: np.ndarray, texts: Texts) -> dict[str, Any]:
        return {
            name: np.array([[row[text[at[name]]] or ""] for row in texts], dtype=object)
            if kind is None
            else numbers[:, at[name] : at[name] + 1].astype(kind)
            for name, kind in kinds.items()
        }

    return feeds
