"""The Open Inference Protocol over gRPC: its server, its calls, and its messages (`proto/`)."""
