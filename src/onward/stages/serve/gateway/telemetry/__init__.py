"""What is told of each request, off its path: a line in the access log, spans of its trace.

The loop appends a tuple to a ring; threads take them out in groups. A ring that is full lets the
newest go and counts them: telling never holds up answering.
"""
