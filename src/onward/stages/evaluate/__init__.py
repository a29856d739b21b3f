"""Evaluate: says how good a fitted model is, and whether it may take the champion's place.

`step.evaluate` takes a fitted model and the champion and gives an `EvaluationReport`: metrics with
bootstrap intervals on the rows that were held out by time, slices, the paired comparison with the
champion on the very same rows, and every gate's answer in words. `gates.check_gates` refuses gates
that cannot be answered before any work is done. `metrics` defines the metrics for other rooms.
"""
