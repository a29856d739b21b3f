"""Starlette under uvicorn, by hand: no schema, the model called on the event loop."""

from __future__ import annotations

import os

from bench._model import given, infer, read_estimator


def app():
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    estimator = read_estimator(os.environ["MODEL"])

    async def answer(request):
        return JSONResponse(infer(estimator, (await request.json())["inputs"]))

    return Starlette(routes=[Route("/infer", answer, methods=["POST"])])


if __name__ == "__main__":
    import uvicorn

    told = given()
    os.environ["MODEL"] = told.model
    uvicorn.run(
        "bench.peers.starlette.serve:app", factory=True, port=told.port, workers=told.workers,
        loop="uvloop", http="httptools", access_log=False, log_level="warning",
    )  # fmt: skip
