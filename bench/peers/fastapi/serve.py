"""What teams write by hand: FastAPI over a pickled model, `def` or `async def` (a further word)."""

from __future__ import annotations

import os

from bench._model import given, infer, read_estimator


def app():
    from fastapi import FastAPI
    from pydantic import BaseModel

    estimator = read_estimator(os.environ["MODEL"])

    class Tensor(BaseModel):
        name: str
        shape: list[int]
        datatype: str
        data: list[float]

    class Body(BaseModel):
        inputs: list[Tensor]

    def answer(body):
        return infer(estimator, [tensor.model_dump() for tensor in body.inputs])

    async def answer_async(body):
        return answer(body)

    chosen = answer if os.environ["HOW"] == "def" else answer_async
    chosen.__annotations__ = {"body": Body, "return": dict}  # the classes are this call's own
    made = FastAPI()
    made.post("/infer")(chosen)
    return made


if __name__ == "__main__":
    import uvicorn

    told = given()
    os.environ |= {"MODEL": told.model, "HOW": told.more[0]}
    uvicorn.run(
        "bench.peers.fastapi.serve:app", factory=True, port=told.port, workers=told.workers,
        loop="uvloop", http="httptools", access_log=False, log_level="warning",
    )  # fmt: skip
