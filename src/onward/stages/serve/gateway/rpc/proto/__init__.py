"""The Open Inference Protocol's messages for gRPC.

`open_inference_grpc.proto` is the protocol's own file, by the KServe authors, Apache-2.0
(https://github.com/kserve/open-inference-protocol). `open_inference_grpc.binpb` is its compiled
form, committed so that nobody needs the compiler; to make it anew, in this folder::

    python -m grpc_tools.protoc -I . --descriptor_set_out=open_inference_grpc.binpb \\
        open_inference_grpc.proto

The classes live in a pool of their own. In protobuf's common one, where generated code puts its
messages, they would keep Triton's and KServe's clients, whose messages have the same names, from
being imported: and a model may well ask another server.
"""
