"""What goes over the wire: sockets, TLS, HTTP/1.1, and what bodies are written in.

`listener.py` opens the sockets and takes who comes, `tls.py` keeps the certificate, `http.py` is
the connection, and `sweep.py` ends those that have gone quiet. A body is unpacked by `content.py`.
An inference call (`inference.py`) is made of tensors (`tensors.py`); `wire.py` writes it in JSON
and bytes.
"""
