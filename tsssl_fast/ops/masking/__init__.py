"""Masking family: exact-count masks, fills, gathered tokens and losses over hidden values."""

from tsssl_fast.backends import dispatch
from tsssl_fast.ops.masking import cpp, numba, operators, reference, spec

__all__ = ["cpp", "numba", "operators", "reference", "spec"]

dispatch.register_family("masking", spec.OPERATORS, (cpp.BACKEND, numba.BACKEND, reference.BACKEND))
