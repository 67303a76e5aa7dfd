"""The definition in plain torch of the contrastive losses as a backend."""

from tsssl_fast.backends import dispatch
from tsssl_fast.backends.precision import exact
from tsssl_fast.ops.contrastive.reference.grouped import grouped_backward, grouped_forward
from tsssl_fast.ops.contrastive.reference.nt_xent import nt_xent_backward, nt_xent_forward
from tsssl_fast.ops.contrastive.reference.pairs import backward, forward

BACKEND = dispatch.reference(
    exact(
        dispatch.without_autocast(
            {
                "nt_xent": nt_xent_forward,
                "nt_xent_backward": nt_xent_backward,
                "grouped_nt_xent": grouped_forward,
                "grouped_nt_xent_backward": grouped_backward,
                "pair_logsumexp": forward,
                "pair_logsumexp_backward": backward,
            }
        )
    ),
    "mps",
)
