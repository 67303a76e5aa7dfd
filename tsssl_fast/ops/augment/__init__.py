"""Augmentation family: views of every series in one pass, from a program of operations."""

from tsssl_fast.backends import dispatch
from tsssl_fast.ops.augment import signal_table as signal_table  # declares rows, for the others

# isort: split
from tsssl_fast.ops.augment import cpp, numba, reference, triton
from tsssl_fast.ops.augment.operators import augment as augment  # registers operators

dispatch.register_family(
    "augment",
    ("augment", "augment_backward", "augment_sample"),
    (cpp.BACKEND, numba.BACKEND, triton.BACKEND, reference.BACKEND),
)
