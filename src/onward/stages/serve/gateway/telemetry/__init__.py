"""What is told of each request, off its path: a line in the access log, spans of its trace.

The loop appends to a ring; threads take out what is there in groups. A ring that is full lets the
newest go and counts them: telling never holds up answering.
"""
