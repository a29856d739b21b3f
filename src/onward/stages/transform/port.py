"""What the room needs of dbt (what a project holds, and a build of it in a scratch database) and
of an engine beside DuckDB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from onward.core.records import DatasetRef
from onward.stages.transform.config import DbtProject, Transform

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """Where dbt has a table: a database (that which it builds is `TARGET`), a schema, a name."""

    database: str
    schema: str
    name: str


TARGET = "onward"
"""The database, and the profile, that dbt is given to build in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DbtSource:
    """A table that the project reads but does not make. `name` is the dataset's."""

    name: str
    relation: Relation


@dataclass(frozen=True, slots=True, kw_only=True)
class DbtModel:
    """A model that becomes a table.

    `reads` has the models and sources that it reads, `sources` the sources behind all of them,
    however far; ephemeral models and seeds are looked through. `file` is relative to the project.
    """

    id: str
    name: str
    relation: Relation
    reads: tuple[str, ...]
    sources: tuple[DbtSource, ...]
    tags: tuple[str, ...]
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A dbt project's models, each after what it reads; `digest` changes with any of its files."""

    digest: str
    models: tuple[DbtModel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DbtTest:
    """A test's result, and the models that it judges by name. `rows` is how many failed it."""

    name: str
    models: tuple[str, ...]
    status: Literal["pass", "warn", "fail"]
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DbtOutcome:
    """What a build came to: the ids of the models that were made, and every test's result."""

    made: tuple[str, ...]
    tests: tuple[DbtTest, ...]


class Dbt(Protocol):
    """dbt, in a process of its own."""

    def manifest(self, project: DbtProject) -> Manifest:
        """Return what the project holds.

        Raises
        ------
        DeclarationError
            dbt is not there, or refuses the project; or the project does what cannot be had here.
        """
        ...

    def build(self, project: DbtProject, models: Sequence[str], *, scratch: Path) -> DbtOutcome:
        """Build models (by id), with what they read, and run the tests of all of these.

        `scratch` holds a DuckDB file, ``<database>.duckdb``, for each database that is read or
        written; sources are in it already.

        Raises
        ------
        DataError
            A model fails, or a test of a source or of the code.
        """
        ...


class Engine(Protocol):
    """Runs Ibis functions elsewhere than in DuckDB, over the lake's tables as they are."""

    def rows(
        self, transform: Transform, inputs: Mapping[str, DatasetRef]
    ) -> AbstractContextManager[pa.RecordBatchReader]:
        """Run a transform and give its rows in stored types, while the context is open.

        Raises
        ------
        DeclarationError
            The engine is not there; the function raises or gives no table.
        DataError
            The query fails on a value.
        """
        ...
