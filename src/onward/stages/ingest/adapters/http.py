"""REST endpoints as resources of dlt, whose client pages, authenticates and retries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onward.core.errors import DeclarationError
from onward.stages.ingest.apis import Http
from onward.stages.ingest.config import Source
from onward.stages.ingest.port import Surroundings


def resource(source: Source, origin: Http, surroundings: Surroundings) -> Any:
    """Return a dlt resource that gives an endpoint's records past the cursor, page by page.

    Raises
    ------
    DeclarationError
        A field of the pagination or the authentication is none of dlt's.
    """
    import dlt

    client = _client(source, origin, surroundings)
    if origin.cursor is None:
        return dlt.resource(
            lambda: client.paginate(params=dict(origin.params)),
            name=source.name,
            section="onward",
            write_disposition="replace",
        )

    def past(
        # dlt looks for what is incremental among a resource's defaults.
        at: Any = dlt.sources.incremental(origin.cursor, initial_value=origin.start),  # noqa: B008 (as said)
    ) -> Iterator[Any]:
        params = dict(origin.params)
        if origin.since is not None and at.start_value is not None:
            params[origin.since] = at.start_value
        yield from client.paginate(params=params)

    return dlt.resource(past, name=source.name, section="onward", primary_key=list(source.key))


def _client(source: Source, origin: Http, surroundings: Surroundings) -> Any:
    from dlt.common.configuration.exceptions import ConfigurationException
    from dlt.sources.helpers.requests import Client
    from dlt.sources.helpers.rest_client import RESTClient
    from dlt.sources.rest_api.config_setup import create_auth, create_paginator

    def filled(value: Any) -> Any:
        return surroundings.fill(value) if isinstance(value, str) else value

    try:
        auth = create_auth({k: filled(v) for k, v in origin.auth.items()} if origin.auth else None)
        paginator = create_paginator(origin.pagination)
    except (TypeError, ValueError, ConfigurationException) as error:
        raise DeclarationError(
            f"source {source.name!r}: {error}",
            expected="the fields that dlt gives this kind of pagination, or of auth",
            location=source.location,
        ) from None
    session = Client(
        raise_for_status=False,
        request_max_attempts=origin.attempts,
        retry_condition=lambda answer, _: _renewed(auth, answer),
    ).session
    return RESTClient(
        base_url=surroundings.fill(origin.url),
        headers={name: filled(value) for name, value in origin.headers.items()},
        auth=auth,
        paginator=paginator,
        data_selector=origin.records,
        session=session,
    )


def _renewed(auth: Any, answer: Any) -> bool:
    """Whether a refused request was given a new token, and is worth making again."""
    refused = answer is not None and answer.status_code == 401
    if not refused or not hasattr(auth, "obtain_token"):
        return False
    auth.obtain_token()
    auth(answer.request)
    return True
