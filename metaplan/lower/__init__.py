"""Schedule -> Program: the scheduled stores written out as lines of a kernel."""
