"""Run it on Ray."""
