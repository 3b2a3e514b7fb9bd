"""Answer a request: a promoted release, read once, answered from."""
