"""The contrastive engine as registered operators. README.md derives it; spec.py is the contract.

nt_xent               NT-Xent of two views, row formula fused
key_logsumexp         the same over keys without gradient: queue, prototypes
pair_logsumexp        row statistics from which every other contrastive loss is a few lines
grouped_nt_xent       many small NT-Xent problems in one launch
hierarchical_nt_xent  TS2Vec's pyramid of those
sigmoid_pairs         sigmoid loss over all pairs
triplet               triplet loss on the hardest negative
"""

from tsssl_fast.backends import dispatch
from tsssl_fast.ops.contrastive import cpp, numba, reference, triton
from tsssl_fast.ops.contrastive.operators import grouped as grouped  # registers operators
from tsssl_fast.ops.contrastive.operators import hierarchical as hierarchical
from tsssl_fast.ops.contrastive.operators import keys as keys
from tsssl_fast.ops.contrastive.operators import nt_xent as nt_xent
from tsssl_fast.ops.contrastive.operators import pairs as pairs
from tsssl_fast.ops.contrastive.operators import sigmoid as sigmoid
from tsssl_fast.ops.contrastive.operators import triplet as triplet
from tsssl_fast.ops.contrastive.reference.every_backend import KERNELS


def _complete(backend: dispatch.Backend) -> dispatch.Backend:
    """The backend with its own kernels; where it has none, with those that all can have."""
    own = backend.kernels
    of_own = {
        "key_logsumexp": keys.composed(own),
        "grouped_nt_xent_fused": hierarchical.composed(own),
    }
    return backend.extended({**KERNELS, **of_own, **own})


BACKENDS = tuple(map(_complete, (cpp.BACKEND, numba.BACKEND, triton.BACKEND, reference.BACKEND)))

dispatch.register_family("contrastive", tuple(BACKENDS[-1].kernels), BACKENDS)
