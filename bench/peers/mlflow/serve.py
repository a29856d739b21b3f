"""MLflow's scoring server, as `mlflow models serve` starts it."""

from __future__ import annotations

from bench._model import become, given, read_estimator

if __name__ == "__main__":
    import mlflow.sklearn

    told = given()
    folder = f"{told.model}.mlflow-{told.port}"
    mlflow.sklearn.save_model(
        read_estimator(told.model), folder, pyfunc_predict_fn="predict_proba",
        serialization_format="cloudpickle", pip_requirements=[],
    )  # fmt: skip
    become(
        [
            *("-m", "mlflow", "models", "serve", "-m", folder, "--env-manager", "local"),
            *("-h", "127.0.0.1", "-p", str(told.port), "--workers", str(told.workers)),
        ]
    )
