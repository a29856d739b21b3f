"""Routes in service: each arm with its loaded model, and who gets which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from onward.core.errors import DataError, unknown_name
from onward.core.ports import Masks
from onward.core.records import Column, ImageRef, Logging, Route, Routes
from onward.core.refs import ref
from onward.stages.serve.audience import compiled
from onward.stages.serve.gateway.models.model import ServedModel
from onward.stages.serve.gateway.protocol.http import Headers
from onward.stages.serve.gateway.routing.masking import Masked, masking
from onward.stages.serve.gateway.routing.rows import RowDecoder
from onward.stages.serve.log.segment import Header
from onward.stages.serve.release.config import SHADOW
from onward.stages.serve.routes import BUCKETS, CHAMPION, bucket, owners

DIRECT = "direct"
"""The arm of requests that name a version: they are no part of any comparison."""

OVERRIDE = "override"
"""The arm of requests that name an arm in `ARM_HEADER`: no part of any comparison either."""

ARM_HEADER = b"onward-arm"
"""A tester's wish: ``onward-arm: candidate``."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A model's version in one role.

    `positions` picks its columns from a decoded row, and after them those that only a shadow
    reads: it finds them in the log. `champion_features` says whether its features are the
    champion's; `logging` is its deployment's.
    """

    model: ServedModel
    arm: str
    image: str
    header: Header
    positions: tuple[int, ...]
    masked: tuple[tuple[int, Masked], ...]
    whole_row: bool
    champion_features: bool
    logging: Logging

    def pick(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the row's values in the order of this version's request columns, masked as its
        training set was.

        Raises
        ------
        DataError
            A column is missing that only this version reads.
        """
        if self.whole_row:
            return row
        picked = tuple(row[position] for position in self.positions)
        if msgspec.UNSET in picked:
            missing = picked.index(msgspec.UNSET)
            if missing < len(self.model.plan.request):
                column = self.model.plan.request[missing]
                raise DataError(
                    f"column {column.name!r} is missing, which version {self.model.version} reads",
                    expected=f"{column.name}: {column.dtype}",
                )
            picked = tuple(None if value is msgspec.UNSET else value for value in picked)
        if self.masked:
            values = list(picked)
            for position, mask in self.masked:
                values[position] = mask(values[position])
            return tuple(values)
        return picked


class Live:
    """One model's routes in service.

    `models` are their versions by the image's digest; `logging` holds where the routes say nothing.
    `kept` are the images of versions that only those get who ask for them by number.
    """

    def __init__(
        self,
        routes: Routes,
        version: str,
        models: Mapping[str, ServedModel],
        masks: Masks | None = None,
        logging: Logging | None = None,
    ) -> None:
        self._masks = masks
        default = logging or Logging()
        self.logging = Logging(
            guarantee=routes.log or default.guarantee,
            on_failure=routes.on_log_failure or default.on_failure,
        )
        self.routes = routes
        self.version = version
        self.models = models
        served = [models[route.image.digest] for route in routes.routes]
        self.decoder = RowDecoder([m.plan for m in served])
        ordered = sorted(routes.routes, key=lambda route: route.arm != CHAMPION)
        self._columns = models[ordered[0].image.digest].plan.columns
        self._mirrored = self._only_shadow(ordered)
        self._salt = routes.salt
        self._owners = owners(ordered)
        self._targets = [self._target(route, route.arm) for route in ordered]
        self.champion = self._targets[0]
        self._alone = len(set(self._owners)) == 1
        self.direct = {
            models[route.image.digest].version: self._target(route, DIRECT)
            for route in reversed(ordered)
        }
        self.kept = {
            image.model.version: image
            for image in routes.kept
            if image.model.version not in self.direct
        }
        self._audience = (
            compiled(routes.audience, self.decoder.columns) if routes.audience else None
        )
        beside = replace(ordered[0], release=routes.beside)
        self._beside = self._target(beside, CHAMPION) if routes.audience else self.champion
        self._wished = {route.arm: self._target(route, OVERRIDE) for route in ordered}
        key = self.champion.model.plan.key
        self._unit = [(self.decoder.columns.index(name), self._mask(name, served)) for name in key]

    def unit(self, row: Sequence[Any]) -> str:
        """Return what the row is about: its key's values, joined by ``|``.

        A column that any arm masks is masked: labels that come later have it so.
        """
        if len(self._unit) == 1:
            position, mask = self._unit[0]
            return str(mask(row[position]))
        return "|".join(str(mask(row[position])) for position, mask in self._unit)

    def wished(self, headers: Headers) -> Target | None:
        """Return the arm that a tester asks for by `ARM_HEADER`, whatever the unit; else None.

        Raises
        ------
        DataError
            There is no such arm.
        """
        wish = headers.get(ARM_HEADER)
        if wish is None:
            return None
        found = self._wished.get(wish.decode("latin-1"))
        if found is None:
            what, expected = unknown_name("arm", wish.decode("latin-1"), self._wished)
            raise DataError(f"{ARM_HEADER.decode()}: {what}", expected=expected)
        return found

    def assign(self, unit: str, row: Sequence[Any] | None = None) -> Target:
        """Return the arm that this unit always gets while the routes' salt stays.

        Where the release has an audience, a row outside it, or none, gets the champion.
        """
        if self._audience is not None and (row is None or not self._audience(row)):
            return self._beside
        owners = self._owners
        return self._targets[owners[0] if self._alone else owners[bucket(self._salt, unit)]]

    def assign_features(self, unit: str) -> Target:
        """Assign a unit that comes as features: to the champion, directly, where arms differ in
        what their features are.
        """
        target = self.assign(unit)
        if target.champion_features:
            return target
        return self.direct[self.champion.model.version]

    def route_of(self, image: ImageRef) -> Route:
        """Return the route of one of the `kept`, which has it alone."""
        release = ref("release", self.routes.model, image.model.version)
        return Route(arm=CHAMPION, image=image, percent=100.0, release=release)

    def alone(self, image: ImageRef, model: ServedModel) -> Live:
        """Return routes of one of the `kept` alone, logged and masked as these are."""
        routes = replace(
            self.routes, routes=(self.route_of(image),), kept=(), audience="", beside=""
        )
        return Live(routes, self.version, {image.digest: model}, self._masks, self.logging)

    def shown(self) -> dict[str, Any]:
        """Return the routes as ``GET /routes`` shows them.

        `percent` is what was asked for, `served` what the assignment in use gives.
        """
        served = Counter(self._targets[owner].arm for owner in self._owners)
        return {
            "version": self.version,
            "refused": None,
            "refused_version": None,
            "salt": self.routes.salt,
            "log": self.logging.guarantee,
            "on_log_failure": self.logging.on_failure,
            "audience": self.routes.audience or None,
            "routes": [
                {
                    "arm": route.arm,
                    "percent": route.percent,
                    "served": 100 * served[route.arm] / BUCKETS,
                    "version": route.image.model.version,
                    "image": route.image.digest,
                    "release": route.release,
                }
                for route in self.routes.routes
            ],
        }

    def _target(self, route: Route, arm: str) -> Target:
        model = self.models[route.image.digest]
        columns = model.plan.request + (self._mirrored if route.arm == CHAMPION else ())
        positions = self.decoder.positions(columns)
        masked = tuple(
            (at, masking(column, self._masks))
            for at, column in enumerate(columns)
            if column.mask is not None
        )
        return Target(
            model=model,
            arm=arm,
            image=route.image.digest,
            header=Header(
                model=model.name,
                version=model.version,
                image=route.image.digest,
                release=route.release,
                arm=arm,
                request=tuple(c.name for c in columns),
                features=tuple(c.name for c in model.plan.columns),
                strings=model.strings,
                width=model.width,
            ),
            positions=positions,
            masked=masked,
            champion_features=model.plan.columns == self._columns,
            logging=self.logging,
            whole_row=not masked
            and not self.decoder.optional
            and positions == tuple(range(len(self.decoder.columns))),
        )

    def _only_shadow(self, ordered: Sequence[Route]) -> tuple[Column, ...]:
        """Return the request columns that a shadow reads and the champion does not."""
        known = {c.name for c in self.models[ordered[0].image.digest].plan.request}
        shadows = (r for r in ordered if r.arm == SHADOW)
        return tuple(
            column
            for route in shadows
            for column in self.models[route.image.digest].plan.request
            if column.name not in known
        )

    def _mask(self, name: str, models: Sequence[ServedModel]) -> Masked:
        columns = (c for m in models for c in m.plan.request if c.name == name)
        masked = next((c for c in columns if c.mask is not None), None)
        return masking(masked, self._masks) if masked is not None else _as_it_is


def _as_it_is(value: Any) -> Any:
    return value
