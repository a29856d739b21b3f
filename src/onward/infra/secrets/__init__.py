"""Secrets: by environment, by a folder of files, or in a key file of the project's own.

Takes a name; gives a `Secret`, from the first place that has one: ``ONWARD_SECRET_<NAME>`` in the
environment, a file of that name in a folder (as Docker and Kubernetes mount them), then the key
file in the project's state, which is the default and the only place that is written to.
Refuses a key file that others than its owner may read.
"""
