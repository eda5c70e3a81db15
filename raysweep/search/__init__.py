"""What to try next, from all that is on record."""
