"""Preprocessing along time, per sample and channel, as a registered operator."""

from tsssl_fast.backends import dispatch
from tsssl_fast.ops.preprocess import cpp, numba, reference
from tsssl_fast.ops.preprocess.operators import preprocess as preprocess  # registers

BACKENDS = (cpp.BACKEND, numba.BACKEND, reference.BACKEND)

dispatch.register_family("preprocess", ("preprocess",), BACKENDS)
