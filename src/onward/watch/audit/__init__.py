"""Audit: the ledger, an append-only table of what happened, that shows when it was touched.

Takes events, gives them back by kind, subject, run or ref, and `verify`s itself. Each event is
hashed over the one before; each hash is written a second time to a file of heads beside the
database, synced before `append` returns. Refuses to be changed: a second event of the same kind
and key is the first one, and the table rejects updates and deletes.

What this shows, and what it cannot
-----------------------------------
Shown by `verify`, with the sequence number: an event altered, put in, moved, or removed from the
middle; events cut off the table's end; a column or a lineage edge that differs from the hashed
body; a line altered in, or removed from the middle of, the file of heads; the file taken away.

Not shown: a table and a file cut back to the same event, or both rewritten from some event on by
someone who computes the hashes anew. Nothing on the same disk can show that. Keep the newest head
(`SqlLedger.head`) somewhere else; a chain that does not contain it any more was rewritten.

A process that is killed between its commit and its line leaves events at the end without a line.
That is no tampering and is not taken for it: the next append writes the missing lines.
"""
