"""The C++ kernels of the preprocessing as a backend."""

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.preprocess import spec
from tsssl_fast.ops.preprocess.cpp.preprocess import preprocess

BACKEND = native.backend({"preprocess": preprocess}, spec.DTYPES)
