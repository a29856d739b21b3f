"""OCI images as files: deterministic layers, image layouts, manifests and what refers to them.

By the OCI Image Format Specification 1.1. The same content gives the same bytes: tar entries are
sorted and dated at the epoch, gzip carries no time, JSON keys are sorted.
"""
