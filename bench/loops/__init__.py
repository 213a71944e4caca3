"""Decode loops from end to end: published results beside our runtime, on one machine."""
