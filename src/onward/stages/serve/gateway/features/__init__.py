"""Features of views at request time: what is asked of the online store, and what a row gets.

`online.py` asks, on the loop or beside it; `lookup.py` applies the views' policies, as training
sets do. `golden.py` stands in for the store on staging; `freshness.py` looks at the served views.
"""
