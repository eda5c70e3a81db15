"""`python -m raysweep`."""

from raysweep.cli.program import entry

if __name__ == "__main__":
    entry()
