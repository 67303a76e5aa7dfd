"""Device code of the decorrelation losses in Triton; the files above launch it.

`active` is one boolean on the device: with GUARDED a kernel does nothing where it is false. So a
decision that depends on the data is taken where the data is, and the host does not wait.
"""
