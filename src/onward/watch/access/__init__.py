"""Access: who may do what, answered where flow and app ask.

Takes the declared roles, a caller, an action and its target; gives allow, deny or wait, each with
its reason. Nothing declared: everybody who can run Onward may do everything.
Refuses roles that nobody declared, with the nearest that is.

It is a rule for those who keep to the command line and the SDK, and a record of what they did. Who
can read the project's files can read them without it: permissions of the file system, of buckets
and of databases are what keeps others out.
"""
