"""The run directory on disk: its paths, its records, its locks, and how its files are written."""
