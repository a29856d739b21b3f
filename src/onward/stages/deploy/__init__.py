"""The deploy room."""
