"""The prediction log: what was answered, durably, before it was answered.

Framed and checksummed segments (`segment.py`), a writer per process (`writer.py`), readers by id
and by cursor (`reader.py`), and the removal of a person's rows (`erase.py`). A prediction's id is
its address, so `reader.find` is one seek.
"""
