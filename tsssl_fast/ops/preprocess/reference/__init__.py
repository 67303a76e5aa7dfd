"""The definition in plain torch of the preprocessing as a backend."""

from tsssl_fast.backends import dispatch
from tsssl_fast.ops.preprocess.reference.preprocess import preprocess

BACKEND = dispatch.reference({"preprocess": preprocess}, "mps")
