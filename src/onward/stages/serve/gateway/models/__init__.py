"""A version of a model: out of its image, checked, warm, and called in the quickest way.

`image.py` unpacks, `model.py` loads and tries what it loaded on the golden rows. It is called by
ONNX Runtime (`onnx_session.py`), by a way of its library (`runtimes.py`), or with a DataFrame.
`views.py` holds what it reads of feature views; `memory.py` measures what it takes.
"""
