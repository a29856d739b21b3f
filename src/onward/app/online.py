"""The choice of the online store, one for the runs that write it and the gateway that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from onward.app.settings import Settings
from onward.core.errors import DeclarationError

if TYPE_CHECKING:
    from onward.core.ports import OnlineStore
    from onward.stages.serve.settings import Factory

_SCHEMES: Final = {
    "redis": ("redis://", "rediss://", "unix://"),
    "postgres": ("postgresql://", "postgres://"),
}


def opener(settings: Settings, *, timeout_s: float | None = None) -> Factory:
    """Return what opens the project's online store, in this process or another.

    `timeout_s` is how long a server may take to answer; unless given, as long as a write needs.

    Raises
    ------
    DeclarationError
        The store's URL is missing or not one of its kind.
    """
    from onward.stages.serve.settings import Factory

    store, url = settings.online.store, settings.online.url
    if store == "sqlite":
        arguments: dict[str, Any] = {"path": str(settings.state / "online.db")}
    else:
        if not url.startswith(_SCHEMES[store]):
            scheme = url.partition("://")[0] if "://" in url else ""
            raise DeclarationError(
                f"[online] url is {f'a {scheme}:// one' if scheme else 'no URL'}",
                expected=f"the server's, beginning with {' or '.join(_SCHEMES[store])}",
                next_step="set it in onward.toml, or ONWARD_ONLINE_URL if it holds a password",
            )
        arguments = {"url": url, "namespace": settings.project.name}
        if timeout_s is not None:
            arguments["timeout_s"] = timeout_s
    return Factory(entry=f"onward.infra.online.{store}:open_store", arguments=arguments)


def open_online(settings: Settings) -> OnlineStore:
    """Open the online store for writing.

    Raises
    ------
    DeclarationError
        Its URL is at fault, or its library is not installed.
    """
    store: OnlineStore = opener(settings).make()
    return store
