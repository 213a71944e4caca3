"""The rendered kernels of the shipped plans: data of the package, loaded by path."""
