"""Random plans of the whole language, as Python text, against every way to run them.

``python -m tests.fuzz --plans 100 --seed 0`` draws plans, runs each on some batches, and prints the smallest
text of every plan for which two ways disagree.
"""
