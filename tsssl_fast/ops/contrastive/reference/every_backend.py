"""Operators that every backend has: its own kernels, or those in blocks of rows of torch."""

from tsssl_fast.backends.dispatch import Backend, without_autocast
from tsssl_fast.ops.contrastive.reference.sigmoid import sigmoid_backward, sigmoid_forward
from tsssl_fast.ops.contrastive.reference.triplet import triplet_backward, triplet_forward

KERNELS = without_autocast(
    {
        "sigmoid_pairs": sigmoid_forward,
        "sigmoid_pairs_backward": sigmoid_backward,
        "triplet": triplet_forward,
        "triplet_backward": triplet_backward,
    }
)


def complete(backend: Backend) -> Backend:
    """The backend with its own kernels of these operators; where it has none, with those here."""
    return backend.extended({**KERNELS, **backend.kernels})
