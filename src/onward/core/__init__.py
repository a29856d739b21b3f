"""Records, refs, events, errors, the clock and the shared ports. No I/O, no vendor types."""
