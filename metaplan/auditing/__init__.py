"""Whether a program waits for the GPU: which call waited, from which line, and how long.

Nothing is imported here, and nothing of torch or triton by any module before it is used.
"""
