"""VICReg and Barlow Twins as registered operators.

README.md has the derivation, spec.py the contract. All return `spec.Outputs` and what their
products were allowed. Two views have an
operator of their own, and numbers travel in one list: a list of tensors costs 40 microseconds more
forward and backward, and every argument of the schema some 3. The functions in `operators/` are the
same operators without the dispatcher where nothing is traced.
"""

from tsssl_fast.backends import dispatch
from tsssl_fast.ops.decorrelation import cpp, numba, reference, spec, triton
from tsssl_fast.ops.decorrelation.operators import barlow_twins as barlow_twins  # registers
from tsssl_fast.ops.decorrelation.operators import vicreg as vicreg
from tsssl_fast.ops.decorrelation.operators.terms import finished, on_device, on_host

BACKENDS = (
    cpp.BACKEND,
    finished(numba.BACKEND, on_host),
    *(finished(backend, on_device) for backend in (triton.BACKEND, reference.BACKEND)),
)

dispatch.register_family("decorrelation", spec.OPERATORS, BACKENDS)
