"""An Airlock for tests: what the real one needs of a host, and a review with pages and forms."""
