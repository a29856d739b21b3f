"""The choice of the online store, one for the runs that write it and the gateway that reads it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from onward.app.secrets import filling, places
from onward.app.settings.sections import Settings
from onward.core.errors import DeclarationError

if TYPE_CHECKING:
    from onward.core.ports import OnlineStore
    from onward.stages.serve.gateway.settings import Factory

_SCHEMES: Final = {
    "redis": ("redis://", "rediss://", "unix://"),
    "postgres": ("postgresql://", "postgres://"),
}


def opener(settings: Settings, *, timeout_s: float | None = None) -> Factory:
    """Return what opens the project's online store, in this process or another.

    No secret that the URL names is in it. `timeout_s` is how long a server may take to answer;
    unless given, as long as a write needs.
    """
    from onward.stages.serve.gateway.settings import Factory

    chosen = settings.online
    if chosen.store == "sqlite":
        path = str(settings.state / "online.db")
        return Factory(entry="onward.infra.online.sqlite:open_store", arguments={"path": path})
    arguments: dict[str, Any] = {
        "store": chosen.store,
        "url": chosen.url,
        "namespace": settings.project.name,
        "secrets": places(settings),
    }
    if timeout_s is not None:
        arguments["timeout_s"] = timeout_s
    return Factory(entry="onward.app.online:open_server", arguments=arguments)


def open_online(settings: Settings) -> OnlineStore:
    """Open the online store for writing.

    Raises
    ------
    DeclarationError
        Its URL is at fault, or its library is not installed.
    """
    store: OnlineStore = opener(settings).make()
    return store


def open_server(
    *, store: str, url: str, secrets: Mapping[str, Any], **arguments: Any
) -> OnlineStore:
    """Open a store on a server, with secrets in the place of what `url` names.

    Raises
    ------
    DeclarationError
        The URL is none of the store's kind, names no secret, or the library is not installed.
    """
    from onward.infra.secrets.chain import open_secrets

    filled = filling(open_secrets(**secrets))(url)
    if not filled.startswith(_SCHEMES[store]):
        scheme = filled.partition("://")[0] if "://" in filled else ""
        raise DeclarationError(
            f"[online] url is {f'a {scheme}:// one' if scheme else 'no URL'}",
            expected=f"the server's, beginning with {' or '.join(_SCHEMES[store])}",
            next_step="set it in onward.toml, a password in it as ${secret:NAME}",
        )
    try:
        adapter = importlib.import_module(f"onward.infra.online.{store}")
    except ModuleNotFoundError as error:
        raise DeclarationError(
            f"the online store {store!r} needs the package {error.name!r}, which is not installed",
            next_step=f"`pip install 'onward[{store}]'`",
        ) from None
    opened: OnlineStore = adapter.open_store(filled, **arguments)
    return opened
