"""The online store: the newest feature row per view version and entity, read while a request waits.

Takes rows of published feature views and the mark up to which they reach. Gives an entity's
features with their event time, or None where there are none.
Refuses to let an older row replace a newer one, and what is no store.

`sqlite` implements the port in one file, for one writing process and any number of readers on the
same machine; `redis` and `postgres` on servers, for gateways anywhere. `rows` is how all of them
keep a row.
"""
