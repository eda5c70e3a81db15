"""The exit codes of the command line; all trials done is 0, and `errors.BROKEN_OFF` is 3."""

FAILED = 1  # the sweep ended, and some trials failed
WRONG = 2  # the command line or the sweep file is wrong, and nothing was started
INTERRUPTED = 130  # the state is saved, and the same command goes on
