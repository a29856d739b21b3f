"""Tracking: experiments and runs, in MLflow on SQLite.

`mlflow.MlflowTracker` serves the port `onward.core.ports.Tracker`; `store.MlflowStore` opens the
database for it and for the model registry, which share it.
"""
