"""Arguments of every operator, recorded while public functions run forward and backward.

A new operator needs a public call in USES that reaches it; nothing is written down twice, and a
backward gets what its forward really saves.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

import tsssl_fast
from tsssl_fast import augment, functional, masking, preprocess


def leaf(*shape: int) -> Tensor:
    return torch.randn(shape, requires_grad=True)


def _sample() -> None:
    augment.presets.simclr_ts().sample(4, 3, 20, views=2, seed=3)


def _hidden(*shape: int) -> Tensor:
    return masking.random_mask(shape, 0.4, seed=3)


def _autoencoder() -> Tensor:
    x, keep = leaf(4, 7, 3), masking.keep_indices(_hidden(4, 7))
    return masking.restore(masking.gather(x, keep), keep, 7, leaf(3))


# Name -> a call whose result is differentiable or nothing.
USES: dict[str, Callable[[], Tensor | None]] = {
    "nt_xent": lambda: functional.nt_xent_loss(leaf(5, 3), leaf(5, 3), temperature=0.2),
    "one set": lambda: functional.sup_con_loss(leaf(6, 3), torch.arange(6) % 2),
    "two sets": lambda: functional.clip_loss(leaf(5, 3), leaf(5, 3)),
    "queue": lambda: functional.info_nce_loss(leaf(5, 3), leaf(5, 3), negatives=torch.randn(9, 3)),
    "groups": lambda: functional.grouped_nt_xent_loss(leaf(2, 4, 3), leaf(2, 4, 3)),
    "hierarchical": lambda: functional.hierarchical_contrastive_loss(leaf(2, 4, 3), leaf(2, 4, 3)),
    "sigmoid": lambda: functional.siglip_loss(
        leaf(5, 3), leaf(5, 3), logit_scale=leaf(), logit_bias=leaf()
    ),
    "sigmoid by ids": lambda: functional.siglip_loss(
        *(leaf(5, 3), leaf(4, 3)),
        **{"q_ids": torch.arange(5), "k_ids": torch.arange(4) % 2, "q_valid": torch.arange(5) < 4},
    ),
    "triplet": lambda: functional.triplet_loss(leaf(6, 3), torch.arange(6) % 2),
    "vicreg": lambda: functional.vicreg_loss(leaf(6, 4), leaf(6, 4)),
    "vicreg of three views": lambda: functional.vicreg_loss(leaf(6, 4), leaf(6, 4), leaf(6, 4)),
    "barlow_twins": lambda: functional.barlow_twins_loss(leaf(6, 4), leaf(6, 4)),
    "augment": lambda: augment.presets.simclr_ts()(leaf(4, 3, 20), views=2, seed=3),
    "augment_sample": _sample,
    "mask_fill": lambda: masking.fill(leaf(4, 3, 20), _hidden(4, 3, 20), leaf(3)),
    "masked_loss": lambda: masking.masked_loss(
        leaf(4, 3, 20), leaf(4, 3, 20), _hidden(4, 3, 20), weight=leaf(4, 3, 20)
    ),
    "tokens": _autoencoder,
    "preprocess": lambda: preprocess.standardize(torch.randn(4, 3, 20)),
}


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, tuple[Any, tuple[Any, ...]]] = {}

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if op.namespace == "tsssl_fast":
            backward = op._opname.endswith("_backward")
            copies = tree_map_only(
                Tensor,
                lambda x: x.detach().clone().requires_grad_(x.requires_grad and not backward),
                args,
            )
            self.calls[op._opname] = (op, copies)
        return op(*args, **(kwargs or {}))


def record(use: str, backend: str) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Operator name -> (operator, arguments) of everything that a use calls on a backend.

    Raises BackendUnavailableError where the use does not run on the backend.
    """
    with _Recorder() as recorder:
        with tsssl_fast.use_backend(backend):
            result = USES[use]()
        if result is not None and result.requires_grad:
            result.sum().backward()
    assert recorder.calls
    return recorder.calls
