"""A feature view's rows: the columns that its table must have, in the types that are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from onward.core import fingerprint
from onward.core.errors import DataError, DeclarationError, unknown_name
from onward.core.records import Column, ViewPlan
from onward.stages.features.config import FeatureView
from onward.stages.features.evaluation import entity_type, expression, require, time
from onward.stages.features.point_in_time import IN_ORDER

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa
    from ibis.backends.duckdb import Backend

TIMES: Final = ("event_time", "available_at")
_HINT: Final = {
    "event_time": "add when each row's fact holds, for instance event_time=_.scheduled_at.max()",
    "available_at": "add when each row could be known, for instance"
    " available_at=_.recorded_at.max(): without it a model would train on what nobody knew yet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewRows:
    """A view's expression with the columns as they are stored, and those columns' types."""

    table: ir.Table
    entity: tuple[Column, ...]
    features: tuple[Column, ...]

    def definition(self, view: FeatureView) -> str:
        """Return the digest of what the view's version is: its code and its columns."""
        return fingerprint.of_text(view.digest, self.entity, self.features)


def rows(view: FeatureView, backend: Backend) -> ViewRows:
    """Evaluate a view's function as an expression; rows without an entity are left out.

    Whole numbers and booleans are stored as ``double``, and what is not finite as NULL: a feature
    is a number, a text, or missing.

    Raises
    ------
    DataError
        A column is missing or has a type that features do not have.
    """
    given = expression(view, backend)
    for column in view.entity:
        require(view, given, {column: "its entity"}, "keep the entity's columns in the table")
    for column in TIMES:
        reason = "when a row could be known" if column == "available_at" else "when a row holds"
        require(view, given, {column: reason}, _HINT[column])
    names = [c for c in given.columns if c not in (*view.entity, *TIMES)]
    if not names:
        raise DataError(
            f"feature view {view.name!r} has no features",
            expected="at least one column beside the entity, event_time and available_at",
            location=view.location,
        )
    entity = tuple(Column(name=c, dtype=entity_type(view, given, c)) for c in view.entity)
    features = tuple(Column(name=c, dtype=_feature_type(view, given, c)) for c in names)
    defaults(view, features)
    chosen = given.filter([given[c].notnull() for c in view.entity]).select(
        **{c.name: given[c.name].cast(c.dtype) for c in entity},
        **{c: time(view, given, c) for c in TIMES},
        **{c.name: _feature(given[c.name], c.dtype) for c in features},
    )
    return ViewRows(table=chosen, entity=entity, features=features)


def stored(view: FeatureView, schema: pa.Schema) -> tuple[tuple[Column, ...], tuple[Column, ...]]:
    """Return the entity's and the features' columns of a view's table."""
    found = {field.name: Column(name=field.name, dtype=str(field.type)) for field in schema}
    kept = {n: c for n, c in found.items() if n not in (*view.entity, *TIMES, IN_ORDER)}
    return tuple(found[name] for name in view.entity), tuple(kept.values())


def plan(view: FeatureView, version: int, table: str, features: tuple[Column, ...]) -> ViewPlan:
    """Return a version of a view as models read it."""
    return ViewPlan(
        name=view.name,
        version=version,
        table=table,
        entity=view.entity,
        columns=tuple(column.name for column in features),
        ttl_s=None if view.ttl is None else view.ttl.total_seconds(),
        on_missing=view.on_missing,
        on_stale=view.on_stale,
        defaults=defaults(view, features),
    )


def defaults(view: FeatureView, features: tuple[Column, ...]) -> tuple[float | str | None, ...]:
    """Return the declared defaults in the features' order, None for a feature without; or ().

    Raises
    ------
    DeclarationError
        One is for no feature, or not of its feature's type.
    """
    types = {column.name: column.dtype for column in features}
    for name, value in view.defaults.items():
        if name not in types:
            what, expected = unknown_name(f"feature of view {view.name!r}", name, types)
            raise DeclarationError(what, expected=expected, location=view.location)
        kinds = (str,) if types[name] == "string" else (int, float)
        if not isinstance(value, kinds):
            raise DeclarationError(
                f"the default of feature {name!r} of view {view.name!r} is {value!r}",
                expected="text" if types[name] == "string" else "a number",
                location=view.location,
            )
    if not view.defaults:
        return ()
    plain = {n: v if isinstance(v, str) else float(v) for n, v in view.defaults.items()}
    return tuple(plain.get(column.name) for column in features)


def _feature_type(view: FeatureView, table: ir.Table, name: str) -> str:
    found = table[name].type()
    if found.is_numeric() or found.is_boolean():
        return "double"
    if found.is_string() and name != IN_ORDER:
        return "string"
    raise DataError(
        f"feature {name!r} of feature view {view.name!r} is {found}",
        expected="a number, a boolean or text",
        next_step=f"turn it into one, for instance with _.{name}.epoch_seconds() for a time",
        location=view.location,
    )


def _feature(value: ir.Value, dtype: str) -> ir.Value:
    if dtype == "string":
        return value
    number = value.cast("float64")
    return (number.isnan() | number.isinf()).ifelse(None, number)
