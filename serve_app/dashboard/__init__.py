"""The pages people look at: rendered on the server, every number read from the API."""
