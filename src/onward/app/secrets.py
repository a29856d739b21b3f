"""A project's secrets: where they are looked for, and how settings name them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from onward.app.settings.sections import Settings
from onward.core.errors import DeclarationError, NotFoundError, OnwardError, unknown_name
from onward.core.ports import Secret, Secrets

if TYPE_CHECKING:
    from onward.app.project import Project

_PLACEHOLDER: Final = re.compile(r"\$\{(secret|env):([^}]*)\}")


def places(settings: Settings) -> dict[str, Any]:
    """Return where the project's secrets are, as `infra` opens them; no secret is in it."""
    return {
        "keyfile": str(settings.state / "secrets.json"),
        "folder": str(settings.folder / settings.secrets.folder),
    }


def open_project_secrets(settings: Settings) -> Secrets:
    """Open the project's secrets: the environment, the mounted folder, the key file."""
    from onward.infra.secrets.chain import open_secrets

    return open_secrets(**places(settings))


def filling(secrets: Secrets, environment: Mapping[str, str] | None = None) -> Callable[[str], str]:
    """Return what puts secrets in the place of ``${secret:NAME}``, variables of ``${env:NAME}``.

    What it returns is secret: it goes to the vendor's library and nowhere else. It raises
    `DeclarationError` where there is no such secret or variable.
    """
    variables = os.environ if environment is None else environment

    def value(found: re.Match[str]) -> str:
        kind, name = found.groups()
        secret = secrets.find(name) if kind == "secret" else None
        text = secret.reveal() if secret else variables.get(name) if kind == "env" else None
        if text is None:
            raise _missing(kind, name, secrets, variables)
        return text

    return lambda text: _PLACEHOLDER.sub(value, text)


def _missing(
    kind: str, name: str, secrets: Secrets, variables: Mapping[str, str]
) -> DeclarationError:
    if kind == "env":
        what, _ = unknown_name("environment variable", name, variables)
        return DeclarationError(what, next_step=f"set {name} where Onward is started")
    what, expected = unknown_name("secret", name, (entry.name for entry in secrets.entries()))
    return DeclarationError(
        what, expected=expected, next_step=f"`onward secrets set {name}` keeps one for this project"
    )


def find_secret(project: Project, name: str) -> Secret:
    """Return a secret of the project.

    Raises
    ------
    NotFoundError
        No store has one of this name.
    """
    secrets = open_project_secrets(project.settings)
    found = secrets.find(name)
    if found is None:
        what, expected = unknown_name("secret", name, (e.name for e in secrets.entries()))
        raise NotFoundError(
            what, expected=expected, next_step=f"`onward secrets set {name}` keeps one"
        )
    return found


def rotate(project: Project, ring: Literal["reveal", "tokens"]) -> str:
    """Mask by a new key from now on, keep the old ones, and return the new key's id.

    Raises
    ------
    OnwardError
        A published table holds values that must go on matching (ring ``tokens``), or somebody was
        erased, or the ring comes from a store that Onward does not write to.
    """
    from onward.flow.data.tombstones import standing
    from onward.flow.happened import happened
    from onward.infra.masks import keyring

    if ring == "tokens" and (tables := _masked_tables(project)):
        raise OnwardError(
            f"the key of pseudonyms and hashes stays: {', '.join(tables)} would match nothing new",
            expected="no table with values that it masked",
            next_step="a key that others know is replaced by masking the sources anew, under new "
            "names; to make encrypted values safe again: `onward secrets rotate reveal`",
        )
    if ring == "tokens" and standing(project.ledger):
        raise OnwardError(
            "the key of pseudonyms and hashes stays: erased subjects are known again by it",
            expected="no erased subject, or all of them readmitted",
            next_step="to make encrypted values safe again: `onward secrets rotate reveal`",
        )
    with project.alone():
        name = keyring.TOKENS if ring == "tokens" else keyring.REVEAL
        key = keyring.rotate(open_project_secrets(project.settings), name)
        happened(project.site, "key.rotated", name, key=f"{name}/{key.id}", id=key.id)
    return key.id


def _masked_tables(project: Project) -> list[str]:
    lake = project.site.lake
    return [
        table
        for table in lake.tables()
        if (head := lake.head(table)) and " by key " in head.state.get("masks", "")
    ]
