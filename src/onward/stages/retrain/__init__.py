"""The retrain room."""
