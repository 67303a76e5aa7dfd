"""Operations in plain torch, called on their own: on series, or on the views of a pipeline."""

from torch import Tensor

from tsssl_fast.augment import inputs
from tsssl_fast.augment.inputs import Array
from tsssl_fast.augment.program import Builder
from tsssl_fast.augment.run import Number, Seed
from tsssl_fast.augment.transform import Transform
from tsssl_fast.common import checks, random
from tsssl_fast.ops.augment import torch_only
from tsssl_fast.ops.augment.reference import draws
from tsssl_fast.ops.augment.spec import Source


class TorchOnly(Transform):
    """An operation of ops/augment/torch_only.py."""

    def run(
        self,
        x: Tensor,
        views: Number | None,
        *,
        seed: Seed = None,
        sample_ids: Tensor | Array | None = None,
        epoch: Number = 0,
        step: Number = 0,
        rank: Number = 0,
    ) -> tuple[Tensor, Tensor]:
        """(N, C, T) or (views, N, C, T) -> (views, N, C, T) in the dtype of x, and the slots,
        (views, N, slots) float64. Arguments and errors as of `Pipeline`.
        """
        checks.floating("x", x)
        if x.dim() not in (3, 4) or 0 in x.shape:
            raise ValueError(
                f"x: shape {tuple(x.shape)}; accepted: (N, C, T) or (views, N, C, T), all >= 1"
            )
        count = None if views is None else self._number_of_views(views)
        if x.dim() == 3:
            x = x.expand(count or 1, *x.shape)
        if count is not None and count != len(x):
            raise ValueError(f"views: {views}; accepted: None or {len(x)}, those of x")
        self.check_shape(x.shape[2], x.shape[3])
        ids = inputs.per_sample("sample_ids", sample_ids, x.shape[1])
        key = random.seed_tensor(seed, epoch, step, rank)
        builder = Builder()
        self.add_to(builder)
        table = draws.draw(builder.rows, draws.Subject.of(key, ids, None, x.shape[0], x.shape[1:]))
        return torch_only.run(x, Source(builder.program(), key, ids, None, table), ""), table
