"""Settings: what there is to choose, and who chose it.

`sections.py` is what ``onward.toml`` can say, section by section; `gateway.py` has those sections
that say how the gateway is operated. `sources.py` reads flags, the environment and the file, each
value by its type (`values.py`). `listing.py` shows them all.
"""
