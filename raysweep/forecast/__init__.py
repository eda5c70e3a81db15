"""Before anything runs: how long a sweep will take, and whether its trials can run at all."""
