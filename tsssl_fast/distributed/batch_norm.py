"""BatchNorm of the rows that all processes have together, on any device."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tsssl_fast.common import collectives
from tsssl_fast.common.collectives import Group

__all__ = ["SyncBatchNorm"]


class SyncBatchNorm(_BatchNorm):
    """BatchNorm whose mean and variance are of the rows of all processes: two sums of C numbers
    each way. In plain torch, for the CPU, where torch.nn.SyncBatchNorm refuses to work; on GPUs
    that is the faster one.

    Args: as torch.nn.SyncBatchNorm.

    forward(x): (N, C, ...) floating -> the same shape and dtype; 16-bit x is computed in float32. N
    may differ between processes. Raises ValueError for x of fewer than two dimensions.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Group = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats)
        self.process_group = process_group

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() < 2:
            raise ValueError(f"x: shape {tuple(x.shape)}; accepted: (N, C, ...)")

    def forward(self, x: Tensor) -> Tensor:
        group = self.process_group
        if not self.training or collectives.world_size(group) == 1:
            return super().forward(x)
        self._check_input_dim(x)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        over = [0, *range(2, x.dim())]
        shape = (1, -1, *[1] * (x.dim() - 2))
        rows = wide.new_full((1,), x.numel() // x.shape[1])
        *total, count = collectives.sum_alike(torch.cat([wide.sum(over), rows]), group)
        mean = torch.stack(total) / count
        centred = wide - mean.reshape(shape)
        squares = collectives.sum_alike(centred.square().sum(over), group)
        y = centred * (squares / count + self.eps).rsqrt().reshape(shape)
        if self.weight is not None:
            y = y * self.weight.reshape(shape) + self.bias.reshape(shape)
        self._follow(mean.detach(), (squares / (count - 1)).detach())
        return y.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, var: Tensor) -> None:
        """The running statistics, as BatchNorm keeps them."""
        if not self.track_running_stats:
            return
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        step = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean += step * (mean - self.running_mean)
        self.running_var += step * (var - self.running_var)

    @classmethod
    def convert_sync_batchnorm(cls, module: nn.Module, process_group: Group = None) -> nn.Module:
        """The module with every BatchNorm inside replaced by one of this class, which has its
        parameters and buffers; the module itself where it is none."""
        if isinstance(module, _BatchNorm):
            if isinstance(module, cls):
                return module
            given = (module.eps, module.momentum, module.affine, module.track_running_stats)
            converted = cls(module.num_features, *given, process_group)
            for name, value in [*module.named_parameters(), *module.named_buffers()]:
                setattr(converted, name, value)
            return converted.train(module.training)
        for name, child in module.named_children():
            module.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return module
