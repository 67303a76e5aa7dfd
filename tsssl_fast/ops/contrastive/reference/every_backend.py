"""Kernels in blocks of rows of torch, for the backends that have none of their own."""

from tsssl_fast.backends.dispatch import without_autocast
from tsssl_fast.backends.precision import exact
from tsssl_fast.ops.contrastive.reference.sigmoid import sigmoid_backward, sigmoid_forward
from tsssl_fast.ops.contrastive.reference.triplet import triplet_backward, triplet_forward

KERNELS = exact(
    without_autocast(
        {
            "sigmoid_pairs": sigmoid_forward,
            "sigmoid_pairs_backward": sigmoid_backward,
            "triplet": triplet_forward,
            "triplet_backward": triplet_backward,
        }
    )
)
