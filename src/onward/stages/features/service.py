"""Feature services: features of several views under one name, for models and for whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from onward.core.declarations import require_name
from onward.core.declared import here
from onward.core.errors import DeclarationError, Location
from onward.stages.features.config import FeatureView
from onward.stages.features.on_demand import OnDemand


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureService:
    """A named set of features; a model takes it in the place of the features themselves.

    `members` are feature views, whole or a part of them (``habits[["mean_amount"]]``), and
    on-demand functions.
    """

    name: str
    members: tuple[FeatureView | OnDemand, ...]
    description: str = field(default="", compare=False)
    owner: str = field(default="", compare=False)
    tags: tuple[str, ...] = field(default=(), compare=False)
    location: Location | None = field(default=None, compare=False)

    @property
    def views(self) -> tuple[FeatureView, ...]:
        return tuple(m for m in self.members if isinstance(m, FeatureView))


def feature_service(
    name: str,
    features: Sequence[Any],
    *,
    description: str = "",
    owner: str = "",
    tags: Sequence[str] = (),
) -> FeatureService:
    """Declare a feature service.

    Parameters
    ----------
    features
        Feature views, parts of them, and on-demand functions.
    description, owner, tags
        What they are for, who answers for them, and words by which they are found.
    """
    location = here()
    members = tuple(features)
    for member in members:
        if not isinstance(member, (FeatureView, OnDemand)):
            raise DeclarationError(
                f"{member!r} is no feature of feature service {name!r}",
                expected="feature views, parts of them (view[['column']]), on-demand functions",
                location=location,
            )
    if not members:
        raise DeclarationError(
            f"feature service {name!r} has no features",
            expected="features=[a feature view, ...]",
            location=location,
        )
    return FeatureService(
        name=require_name(name, "feature service", location),
        members=members,
        description=description,
        owner=owner,
        tags=(tags,) if isinstance(tags, str) else tuple(tags),
        location=location,
    )
