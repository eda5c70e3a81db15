"""Trainings of equal shape, stacked and trained as one program."""
