"""`python -m raysweep`."""

from raysweep.cli import entry

if __name__ == "__main__":
    entry()
