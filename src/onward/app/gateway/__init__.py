"""The project's gateway: started, kept, asked.

`config.py` makes what a gateway is told of the project's settings, `callers.py` the part about who
calls. `serving.py` starts it, and `kept.py` starts it again for as long as `onward up` runs.
`calling.py` asks it for predictions; `workers.py` says how it stands.
"""
