"""The contrastive engine as registered operators. README.md derives it; spec.py is the contract.

nt_xent               NT-Xent of two views, row formula fused
pair_logsumexp        row statistics from which every other contrastive loss is a few lines
grouped_nt_xent       many small NT-Xent problems in one launch
hierarchical_nt_xent  TS2Vec's pyramid of those
"""

from tsssl_fast import dispatch
from tsssl_fast.ops.contrastive import cpp, reference, triton

BACKENDS = (cpp.BACKEND, triton.BACKEND, reference.BACKEND)

dispatch.register_family("contrastive", tuple(reference.BACKEND.kernels), BACKENDS)

from tsssl_fast.ops.contrastive import grouped as grouped  # noqa: E402  registers operators
from tsssl_fast.ops.contrastive import hierarchical as hierarchical  # noqa: E402
from tsssl_fast.ops.contrastive import nt_xent as nt_xent  # noqa: E402
from tsssl_fast.ops.contrastive import pairs as pairs  # noqa: E402
