"""Stage 12, retrain: does what the monitors found call for a run?

Takes a monitor's report, the reports before it, and the user's policy; gives a `RunRequest`, or
`Suppressed` with the reason why not, or None where nothing was breached. Refuses nothing.

A run is called for when there is evidence that a new model would help:

- performance: the same metric breached in `persist` reports in a row. Realised loss suffices.
- drift: of the data or of the predictions, in `persist` reports in a row, and *corroborated* in
  the latest one: by the other of the two, or by a performance breach. Inputs that move without
  an effect on answers or outcomes are no reason; they often are a season, which passes.
- operational and freshness: never. A new model answers no sooner, and brings no data.

Even then it waits: while a run or a release is under way, and until `cooldown` has passed since
the last request.
"""
