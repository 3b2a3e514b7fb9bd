"""Pure functions from a release and parameters to an answer; they read nothing else and keep nothing."""
