"""Features: what is known of an entity at a moment, the same in training and in the gateway.

Takes published snapshots and the user's declarations: feature views, on-demand functions, a label.
Gives versioned feature tables with their newest rows online, training sets in which every row
sees only what was known at its event time, and the object that computes on-demand features, one
and the same for training and for serving.
Refuses views whose rows do not say when they could be known, rows that stand twice, labels that a
feature reads, and on-demand functions whose answer for a row depends on the rows around it.

The verbs are in `step`; `publication` and `changes` decide what is appended, `point_in_time` is
the join and its proof, `request` computes features from requests, `training` puts a set together.
"""
