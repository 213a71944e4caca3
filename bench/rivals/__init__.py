"""The other sides of the benchmark: the same named inputs, the same named buffers, filled another way."""
