"""What an image holds, from the bottom up: base, environment, Onward, record, model.

Each layer changes for a reason of its own, so that a new version of a model adds one small layer
to what machines and registries have already.
"""
