"""Test-time training by masked reconstruction."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from tsssl_fast.augment import validation
from tsssl_fast.common import checks, random
from tsssl_fast.methods.base import Batch, Logs, Method, Views
from tsssl_fast.methods.masked_autoencoder import MaskedAutoencoder
from tsssl_fast.methods.masked_reconstruction import MaskedReconstruction


class TestTimeTraining(Method):
    """Learns by masked reconstruction, and goes on learning by it on every batch that it is given.

        training:  loss = reconstruction(x)
        testing:   w' = w after a few steps w <- w - lr grad reconstruction(x_test)
                   features(x_test) = encoder(x_test; w'), and w stays for the next batch

    Source: Sun et al., ICML 2020; Gandelsman et al., NeurIPS 2022, for the masked autoencoder.
    Deviation: the classifier on the features is trained afterwards, on a frozen encoder.

    Args:
        method: what reconstructs: MaskedAutoencoder, or MaskedReconstruction for the form without.
        steps: iterations of plain gradient descent on a test batch, >= 0.
        lr: of these steps.
    """

    __test__ = False  # not a test of pytest
    min_batch = 1

    def __init__(self, method: Method, steps: int = 5, lr: float = 0.01) -> None:
        super().__init__()
        validation.integer("steps", steps, 0, 1 << 31)
        self.encoder = method.encoder
        self.method = method
        self.steps = steps
        self.lr = checks.positive("lr", lr)

    @classmethod
    def recipe(
        cls,
        encoder: nn.Module,
        views: Views | None,
        steps: float = 5,
        test_lr: float = 0.01,
        mae: float = 1,
    ) -> "TestTimeTraining":
        """mae: 1 for the masked autoencoder, 0 for reconstruction by any encoder."""
        make: Any = MaskedAutoencoder if mae else MaskedReconstruction
        return cls(make.recipe(encoder, views), int(steps), test_lr)

    def loss(self, batch: Batch) -> tuple[Tensor, Logs]:
        self.method.bf16 = self.bf16
        return self.method.loss(batch)

    def adapt(self, x: Tensor, *, seed: int = 0, sample_ids: Tensor | None = None) -> nn.Module:
        """A copy of the encoder after the steps on x (N, C, T), N >= 1, in evaluation mode."""
        method = copy.deepcopy(self.method).train()
        ids = torch.arange(len(x)) if sample_ids is None else sample_ids
        optimizer = torch.optim.SGD(method.parameters(), self.lr)
        with torch.enable_grad():
            for step in range(self.steps):
                optimizer.zero_grad()
                low, high = random.fold_seed(seed, step=step)
                loss, _ = method.loss(Batch(x, ids, high << 31 | low >> 1))
                loss.backward()
                optimizer.step()
        return method.encoder.eval().requires_grad_(False)

    def features(self, x: Tensor, *, seed: int = 0, sample_ids: Tensor | None = None) -> Tensor:
        """(N, C, T) -> (N, F) by the adapted copy."""
        with torch.no_grad():
            h: Tensor = self.adapt(x, seed=seed, sample_ids=sample_ids)(x)
        return h
