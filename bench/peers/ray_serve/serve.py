"""Ray Serve: a local Ray, one HTTP proxy, a replica per worker."""

from __future__ import annotations

import threading

import ray
from ray import serve

from bench._model import given, infer, read_estimator


@serve.deployment(ray_actor_options={"num_cpus": 0.1}, max_ongoing_requests=100)
class Scorer:
    def __init__(self, path: str) -> None:
        self.estimator = read_estimator(path)

    async def __call__(self, request):
        return infer(self.estimator, (await request.json())["inputs"])


if __name__ == "__main__":
    told = given()
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": told.port})
    serve.run(Scorer.options(num_replicas=told.workers).bind(told.model), route_prefix="/infer")
    threading.Event().wait()
