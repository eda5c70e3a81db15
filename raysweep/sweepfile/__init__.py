"""A sweep file -> a checked SweepSpec, and its JSON Schema."""
