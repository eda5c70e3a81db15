"""Runs -> one HTML file to look at and to send."""
