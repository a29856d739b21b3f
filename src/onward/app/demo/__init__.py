"""The demo: a year of real flights through the whole loop, in event time.

Nothing in it is staged: the data are the departures of 2013 from New York's airports, and what is
quarantined, retrained, promoted or rejected is what the rules of the template decided.
"""
