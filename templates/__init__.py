"""The templates of the kernels: data of the package, read by path."""
