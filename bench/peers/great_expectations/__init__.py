"""Great Expectations on pandas."""
