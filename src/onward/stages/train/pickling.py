"""Pickles of models: by value, and the same bytes for the same value in every process."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Mapping
from typing import Any, Final

from cloudpickle import cloudpickle

_PROTOCOL: Final = 5


def pickled(value: Any) -> bytes:
    """Return cloudpickle's bytes of `value`, the same ones for the same value.

    cloudpickle gives every class that it pickles by value a random id, under which a process
    holds one definition for all pickles. Here the ids follow from the content, so that two models
    loaded side by side share a class only if they are one and the same.
    """
    stream = io.BytesIO()
    _Pickler(stream, _PROTOCOL).dump(value)
    written = stream.getvalue()
    tracked = cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS  # noqa: SLF001 (there is no other way)
    random_ids = {i.encode(): kind.__qualname__ for kind, i in tracked.items()}
    used = {i: name for i, name in random_ids.items() if i in written}
    content = hashlib.sha256(_replaced(written, {i: bytes(len(i)) for i in used})).hexdigest()
    fixed = {
        i: hashlib.sha256(f"{content}.{name}".encode()).hexdigest() for i, name in used.items()
    }
    return _replaced(written, {i: f.encode()[: len(i)] for i, f in fixed.items()})


def _replaced(content: bytes, replacements: Mapping[bytes, bytes]) -> bytes:
    for old, new in replacements.items():
        content = content.replace(old, new)
    return content


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no stubs
    """Writes PyTorch's tensors as arrays: its own pickles of them hold addresses in memory."""

    def reducer_override(self, obj: Any) -> Any:
        """Return how to make a plain tensor again; else what cloudpickle would."""
        torch = sys.modules.get("torch")
        if torch is not None and type(obj) is torch.Tensor and _plain(obj):
            return torch.from_numpy, (obj.detach().numpy(),)
        return super().reducer_override(obj)


def _plain(tensor: Any) -> bool:
    """Say whether a tensor is one that NumPy knows too: dense, on the CPU, of a common type."""
    return bool(
        tensor.device.type == "cpu"
        and tensor.layout is sys.modules["torch"].strided
        and str(tensor.dtype) not in ("torch.bfloat16", "torch.complex32")
        and not tensor.is_quantized
        and not str(tensor.dtype).startswith("torch.float8")
    )
