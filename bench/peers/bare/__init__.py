"""The limit: an online store's own engine, handing out the same blobs and nothing else."""
