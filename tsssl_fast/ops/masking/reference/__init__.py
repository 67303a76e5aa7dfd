"""The definition in plain torch of the masking as a backend."""

from tsssl_fast.backends import dispatch
from tsssl_fast.ops.masking import spec
from tsssl_fast.ops.masking.reference import fill, loss, mask, tokens

BACKEND = dispatch.reference(spec.kernels(fill, loss, mask, tokens), "mps")
