"""What the Numba backends share: how kernels are compiled, kept and told about (compiling.py), run
on threads (launching.py) and multiply matrices (blas.py).

Imported inside functions only: `import tsssl_fast` must not import numba.
"""

import numpy as np
from numba.extending import overload as overload
from torch import Tensor

from tsssl_fast._jit.blas import add_own_product as add_own_product
from tsssl_fast._jit.blas import multiply as multiply
from tsssl_fast._jit.blas import serial_blas as serial_blas
from tsssl_fast._jit.compiling import FUSED as FUSED
from tsssl_fast._jit.compiling import SUMS as SUMS
from tsssl_fast._jit.compiling import bits as bits
from tsssl_fast._jit.compiling import bits_float32 as bits_float32
from tsssl_fast._jit.compiling import bits_float64 as bits_float64
from tsssl_fast._jit.compiling import float32_bits as float32_bits
from tsssl_fast._jit.compiling import float64_bits as float64_bits
from tsssl_fast._jit.compiling import part as part
from tsssl_fast._jit.compiling import told as told
from tsssl_fast._jit.launching import advance as advance
from tsssl_fast._jit.launching import finish as finish
from tsssl_fast._jit.launching import kernel as kernel
from tsssl_fast._jit.launching import run as run
from tsssl_fast._jit.launching import take as take
from tsssl_fast._jit.launching import threads as threads
from tsssl_fast._jit.launching import wait_for as wait_for


def array(x: Tensor) -> np.ndarray:
    """The tensor's memory as an array; contiguous, so that every call has the same types."""
    x = x if x.is_contiguous() else x.contiguous()
    return (x.detach() if x.requires_grad else x).numpy()


def flags(x: Tensor | None) -> np.ndarray:
    """Booleans as bytes; empty for None."""
    return _NONE if x is None else array(x).view(np.uint8)


_NONE = np.empty(0, np.uint8)
