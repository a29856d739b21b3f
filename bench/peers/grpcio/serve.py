"""grpcio's asyncio server by hand: it sends each body back, or predicts (a further word)."""

from __future__ import annotations

import asyncio
import os

from bench._model import NAME, given, read_estimator


def echo():
    async def answer(body, context):  # noqa: ARG001 (grpcio's)
        return body

    return answer


def infer(model: str):
    import numpy as np

    from onward.stages.serve.gateway.rpc.proto import messages as pb

    estimator = read_estimator(model)

    async def answer(body, context):  # noqa: ARG001 (grpcio's)
        request = pb.ModelInferRequest.FromString(body)
        tensor = request.inputs[0]
        rows = np.frombuffer(request.raw_input_contents[0], "<f8").reshape(tensor.shape)
        found = estimator.predict_proba(rows)[:, 1]
        response = pb.ModelInferResponse(model_name=NAME)
        response.outputs.add(name="probability", datatype="FP64", shape=found.shape)
        response.raw_output_contents.append(found.tobytes())
        return response.SerializeToString()

    return answer


async def serve(port: int, answer) -> None:
    import grpc

    server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
    handlers = {"ModelInfer": grpc.unary_unary_rpc_method_handler(answer)}
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers)
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    told = given()
    for _ in range(told.workers - 1):  # before grpcio is imported: it does not live through a fork
        if os.fork() == 0:
            break
    asyncio.run(serve(told.port, echo() if told.more == ("echo",) else infer(told.model)))
