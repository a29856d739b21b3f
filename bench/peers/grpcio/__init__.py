"""grpcio by hand."""
