"""The plainest way to serve a model: a FastAPI app, a pydantic body, one predict per request.

`python -m bench._fastapi_app MODEL.pkl PORT def|async`, on uvicorn with uvloop and httptools.
``def`` is what the documentation advises for a blocking call: FastAPI runs it in a thread.
``async`` blocks the loop for the length of the call, and saves the thread.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from threadpoolctl import threadpool_limits


class Tensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Body(BaseModel):
    inputs: list[Tensor]


def main() -> None:
    model = pickle.loads(Path(sys.argv[1]).read_bytes())
    threadpool_limits(1)
    app = FastAPI()

    def infer(body: Body) -> dict:
        tensor = body.inputs[0]
        found = model.predict_proba(np.array(tensor.data).reshape(tensor.shape))[:, 1]
        return {
            "model_name": "m",
            "outputs": [
                {
                    "name": "probability",
                    "shape": [len(found)],
                    "datatype": "FP64",
                    "data": found.tolist(),
                }
            ],
        }

    async def infer_async(body: Body) -> dict:
        return infer(body)

    app.post("/infer")(infer if sys.argv[3] == "def" else infer_async)
    uvicorn.run(app, port=int(sys.argv[2]), loop="uvloop", http="httptools", access_log=False)


if __name__ == "__main__":
    main()
