"""What the Numba kernels of all families are made of; this file imports nothing.

availability  whether numba is there, without importing it before it is asked
compiling     how kernels are compiled, kept on disk and told about
launching     how a kernel runs on torch's threads
arrays        tensors as arrays
blas          matrix products inside kernels
"""
