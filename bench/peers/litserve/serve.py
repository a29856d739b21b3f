"""LitServe: an API of our own, a process per worker, a front process that hands requests on."""

from __future__ import annotations

import litserve

from bench._model import given, infer, read_estimator


class Api(litserve.LitAPI):
    def setup(self, device) -> None:  # noqa: ARG002 (LitServe's)
        self.estimator = read_estimator(TOLD.model)

    def decode_request(self, request):
        return request["inputs"]

    def predict(self, inputs):
        return infer(self.estimator, inputs)

    def encode_response(self, output):
        return output


TOLD = given()

if __name__ == "__main__":
    server = litserve.LitServer(
        Api(api_path="/infer"), accelerator="cpu", workers_per_device=TOLD.workers
    )
    server.run(
        host="127.0.0.1", port=TOLD.port, num_api_servers=TOLD.workers, log_level="warning",
        generate_client_file=False, access_log=False,
    )  # fmt: skip
