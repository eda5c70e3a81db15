"""One trial at work: the user's function or class, and what is recorded of it."""
