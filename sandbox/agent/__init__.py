"""A job-runner for tests: what the real one does, as docker and the storage see it."""
