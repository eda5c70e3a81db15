"""The sweep file -> its trials, and which of them are new, done, failed or interrupted."""
