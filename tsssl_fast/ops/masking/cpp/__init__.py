"""The C++ kernels of the masking as a backend."""

from tsssl_fast.backends import cpp as native
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.cpp import fill, loss, mask, tokens

BACKEND = native.backend(spec.kernels(fill, loss, mask, tokens), spec.DTYPES)
