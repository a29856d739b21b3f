"""What decides a release: guardrails judged by anytime-valid confidence sequences."""
