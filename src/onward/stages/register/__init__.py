"""Register: gives a model that passed its gates a version, and keeps the champion's name.

`step.register` takes a fitted model and its evaluation and gives a `ModelRef`, once per run: a
version in the registry with its lineage, and a model card beside the artifacts. A report that did
not pass and artifacts that are not those recorded are refused. `port.ModelRegistry` is what a
registry must do; `adapters.mlflow` does it in MLflow's.
"""
