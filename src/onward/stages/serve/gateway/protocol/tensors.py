"""Tensors as callers send them: in JSON, as bytes beside the JSON, and as gRPC has them.

Each kind has a name, a shape and a datatype of the Open Inference Protocol, and says its elements
as numbers or as texts, in row-major order. A number is what its datatype can hold: 0.1 sent as FP32
is the nearest float32, whichever way it comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Protocol, TypeAlias

import msgspec

from onward.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np

NUMBERS: Final = {
    "BOOL": "?", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
    "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
}  # fmt: skip
"""The protocol's datatypes of numbers, as NumPy writes their bytes in little-endian order."""

BINARY_SIZE: Final = "binary_data_size"
"""The parameter of a tensor whose elements come as bytes: how many those are."""

Floats: TypeAlias = "Sequence[float | None] | np.ndarray"


class Input(Protocol):
    """A tensor that a caller sent."""

    name: str
    shape: list[int]

    @property
    def datatype(self) -> str:
        """One of the protocol's."""
        ...

    def floats(self) -> Floats:
        """Return the elements as numbers, None or NaN for a missing one.

        Raises
        ------
        DataError
            They are not what the datatype says.
        """
        ...

    def texts(self) -> Sequence[str | None]:
        """Return the elements as texts; raises as `floats` does."""
        ...


class JsonTensor(msgspec.Struct):
    """A tensor in JSON: `data` is its elements, flat or nested; null is a missing one."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    parameters: dict[str, Any] = {}

    def floats(self) -> Floats:
        try:
            values = _DECODERS[self.datatype](self.data)
        except msgspec.DecodeError:
            values = self._nested(text=False)
        if self.datatype in _ROUNDED:
            return _fitted(self, values)
        if self.datatype == "UINT64" and max((v or 0 for v in values), default=0) >= 2**64:
            raise _misfit(self)
        return values

    def texts(self) -> Sequence[str | None]:
        try:
            return _texts(self.data)
        except msgspec.DecodeError:
            return self._nested(text=True)

    def _nested(self, *, text: bool) -> list[Any]:
        """Flatten nested lists."""
        if not self.data:
            raise DataError(f"input {self.name!r} has no data", expected='"data": [element, …]')
        decode = _texts if text else _DECODERS[self.datatype]
        try:
            values = msgspec.json.decode(self.data)
            while isinstance(values, list) and any(isinstance(v, list) for v in values):
                if not all(isinstance(v, list) for v in values):
                    raise _misfit(self)
                values = [element for part in values for element in part]
            return decode(msgspec.json.encode(values))
        except (msgspec.DecodeError, RecursionError):
            raise _misfit(self) from None


class DoublesTensor(msgspec.Struct):
    """A tensor of FP64 in JSON, flat: what most requests hold, read in one pass with the body."""

    name: str
    shape: list[int]
    datatype: Literal["FP64"]
    data: list[float | None]
    parameters: dict[str, Any] = {}

    def floats(self) -> Floats:
        return self.data

    def texts(self) -> Sequence[str | None]:
        raise _misfit(self)


class BinaryTensor:
    """A tensor as bytes: its elements in row-major order, numbers little-endian, and a text as its
    length in bytes (uint32) and its UTF-8.
    """

    __slots__ = ("_data", "datatype", "name", "shape")

    def __init__(self, name: str, shape: list[int], datatype: str, data: bytes) -> None:
        self.name, self.shape, self.datatype, self._data = name, shape, datatype, data

    def floats(self) -> Floats:
        import numpy as np

        kind = np.dtype(np.uint8 if self.datatype == "BOOL" else NUMBERS[self.datatype])
        if len(self._data) % kind.itemsize:
            raise DataError(
                f"input {self.name!r} has {len(self._data)} bytes",
                expected=f"{kind.itemsize} for each element, as its datatype is {self.datatype}",
            )
        given = np.frombuffer(self._data, kind)
        found: np.ndarray = (given != 0 if self.datatype == "BOOL" else given).astype(np.float64)
        return found

    def texts(self) -> Sequence[str | None]:
        data, at, found = self._data, 0, []
        while at < len(data):
            start = at + 4
            at = start + int.from_bytes(data[at:start], "little")
            if start > len(data) or at > len(data):
                raise DataError(
                    f"input {self.name!r} ends within an element",
                    expected="for each text its length in bytes, as uint32, and its UTF-8",
                )
            found.append(utf8(self.name, data[start:at]))
        return found


class ListTensor:
    """A tensor whose elements come as Python values of its datatype: gRPC's typed contents."""

    __slots__ = ("_values", "datatype", "name", "shape")

    def __init__(self, name: str, shape: list[int], datatype: str, values: Sequence[Any]) -> None:
        self.name, self.shape, self.datatype, self._values = name, shape, datatype, values

    def floats(self) -> Floats:
        import numpy as np

        values = np.asarray(self._values)
        bounds = None if self.datatype[0] in "FB" else np.iinfo(NUMBERS[self.datatype])
        if bounds and len(values) and not bounds.min <= values.min() <= values.max() <= bounds.max:
            raise _misfit(self)
        found: np.ndarray = values.astype(np.float64)
        return found

    def texts(self) -> Sequence[str | None]:
        return [utf8(self.name, value) for value in self._values]


def utf8(name: str, value: bytes) -> str:
    """Return an element of BYTES as text."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise DataError(f"input {name!r} has an element {value!r}", expected="UTF-8") from None


def write_binary(datatype: str, values: Any) -> bytes:
    """Return an output's elements as the binary extension and gRPC's raw contents have them."""
    if datatype == "BYTES":
        texts = [str(value).encode() for value in values]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    import numpy as np

    return np.asarray(values, dtype=NUMBERS[datatype]).tobytes()


def _misfit(tensor: Input) -> DataError:
    return DataError(
        f"input {tensor.name!r} holds what is not {tensor.datatype}",
        expected="a list of its elements, flat or nested by rows",
    )


def _fitted(tensor: JsonTensor, values: Sequence[Any]) -> np.ndarray:
    """Return JSON numbers as the tensor's datatype holds them; null is NaN."""
    import numpy as np

    with np.errstate(over="ignore"):
        given = np.asarray(values, dtype=np.float64)
        found = given.astype(NUMBERS[tensor.datatype]).astype(np.float64)
    if not np.array_equal(np.isfinite(given), np.isfinite(found)):
        raise _misfit(tensor)
    return found


def _whole(bits: int, *, signed: bool) -> Any:
    """Return the type of a whole number of so many bits; msgspec bounds no more than int64."""
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    bounds = msgspec.Meta(ge=low, le=high) if high < 2**63 else msgspec.Meta(ge=low)
    return Annotated[int, bounds]


_ROUNDED: Final = frozenset({"FP16", "FP32"})
_INTEGERS: Final = {
    f"{sign}INT{bits}": _whole(bits, signed=not sign)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
_TYPES: Final[dict[str, Any]] = {
    "BOOL": bool,
    "FP16": float,
    "FP32": float,
    "FP64": float,
} | _INTEGERS
_DECODERS: Final = {
    name: msgspec.json.Decoder(list[kind | None]).decode  # type: ignore[valid-type]  # a table
    for name, kind in _TYPES.items()
}
_texts: Final = msgspec.json.Decoder(list[str | None]).decode
