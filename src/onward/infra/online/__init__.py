"""The online store: the newest feature row per view version and entity, read while a request waits.

Takes rows of published feature views and the mark up to which they reach. Gives an entity's
features as of a moment, or None where there are none or they are past the view's time to live.
Refuses to let an older row replace a newer one, and a file that is no store.

`sqlite` implements the port in one file, for one writing process and any number of readers.
"""
