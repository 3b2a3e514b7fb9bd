"""Answers requests: the HTTP service over what was released."""
