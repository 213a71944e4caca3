"""The user's words: what builds IR when a plan's function runs once."""
