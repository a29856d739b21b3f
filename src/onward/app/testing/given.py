"""`onward.given`: a declared function on a few rows, and the rows that are expected of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from onward.app.testing.compare import difference
from onward.app.testing.evaluate import Declared, evaluate
from onward.app.testing.types import types_of

Rows: TypeAlias = Sequence[Mapping[str, Any]]


class Given:
    """Inline rows by the name of what is read; `rows` and `expect` run a declaration on them.

    Rows are mappings, or anything that is Arrow (a table, a DataFrame). A column that no row has
    is NULL, in the type that the published table gives it. Text is read as a time where a source
    or a label declares the column as one, or the published table has it so.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def rows(self, declared: Declared) -> list[dict[str, Any]]:
        """Return the rows that a transform, a feature view, a label or an on-demand function gives.

        An on-demand function reads ``given(request=[...])``.

        Raises
        ------
        OnwardError
            The function fails, or reads what is not given.
        """
        found = evaluate(declared, self._given, types_of(declared))
        rows: list[dict[str, Any]] = found.to_pylist()
        return rows

    def expect(self, declared: Declared, expected: Rows, *, ordered: bool = False) -> None:
        """Compare the rows that a declaration gives with those expected, in their columns alone.

        Numbers are equal to nine digits, times where they are the same moment; text stands for the
        time that it writes, and ``pytest.approx`` for what it allows. Without `ordered` the order
        does not matter.

        Raises
        ------
        AssertionError
            Other rows came, shown beside those that were expected.
        OnwardError
            The function fails, or reads what is not given.
        """
        __tracebackhide__ = True
        told = difference(declared.name, expected, self.rows(declared), ordered=ordered)
        if told:
            raise AssertionError(told)
