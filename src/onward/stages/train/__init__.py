"""Train: fits the model that the user's function returns, in a process of its own.

`step.train` takes a training set and a candidate's parameters and gives a `RunRef`: a folder of
artifacts under a name that its inputs determine, so that the same inputs give the same bytes and
a run that was cut short leaves nothing half-written. The newest rows are held out for evaluation.
It refuses labels that do not fit the task, and what cannot be asked or gives no predictions.
"""
