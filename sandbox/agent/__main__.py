"""Where the agent starts."""
