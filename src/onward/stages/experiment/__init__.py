"""Experiment: searches a model's hyperparameters and chooses a candidate to train.

`step.search` takes a training set and a number of trials and gives a `Candidate`. Each trial is
fitted on older rows and scored on newer ones, all of them before the held-out rows, which no
search ever sees; every trial is logged with code, data, parameters and score. The same search
gives the same candidate. A model without a search space is refused.
"""
