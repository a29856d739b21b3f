"""Stage 11, monitor: is the model in production still the one that was let through?

Takes one window of production (`port.Observed`) and the user's monitors; `step.report` gives a
`MonitorReport`: a reading for each monitor and subject, in words, and whether it is a breach;
an `Alert` tells somebody. Refuses a monitor that names a column, a metric or a source that is not
there. It starts nothing: what follows from a report is stage 12's to say.

A breach is about size. Drift is PSI or Jensen-Shannon distance, less what chance alone gives so
few rows; performance counts only once its interval is wholly on the wrong side of the limit; an
error rate, once the lower end of its interval is above it. No p-value decides anything, and what
too few rows cannot tell has no value and is no breach.

Readings, as ``(monitor, subject)``
-----------------------------------
``drift``         ``column <name>`` each feature, never a breach by itself; ``data`` the share of
                  features that drifted; ``prediction`` the distribution of what was answered
``performance``   the metric, on the latest answer for each unit whose label is known by now
``operational``   ``error rate`` of all answers; ``p99 latency`` in milliseconds
``freshness``     each source, the age of its newest row in seconds; ``view <name>`` the same of a
                  feature view online
``skew``          ``feature <name>`` the share of sampled vectors in which it was served otherwise
                  than the lake gives it again
"""
