"""Trainers that people use, as trials: what they measure is reported, what they save is what a trial goes on from.

Each module imports the library that it is named after, and is imported by those who use it.
"""
