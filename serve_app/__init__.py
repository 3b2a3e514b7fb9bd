"""Answer a request: HTTP answers from what was released."""
