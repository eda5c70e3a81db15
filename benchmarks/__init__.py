"""What raysweep costs, side by side with how else it is done: `python -m benchmarks`."""
