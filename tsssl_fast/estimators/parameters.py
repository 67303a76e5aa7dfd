"""The parameters of the estimators, each declared once.

scikit-learn and aeon read them from the signature of `__init__`, which `dataclass` writes; `repr`
and equality stay those of their base classes.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(kw_only=True, repr=False, eq=False)
class TrainingParameters:
    """What all estimators share.

    Args:
        encoder: a name that `tsssl_fast.encoders` knows, or "auto", by length.
        views: the augmentation: a name that `training.views` knows, or a pipeline.
        epochs: passes over the series; None: as many as 300 steps hold, but 10 to 60, and no more
            steps than the data have hundreds of values, but at least 5 passes.
        batch_size: None: 256, or all series where there are fewer.
        lr: None: 0.003, or 0.001 for a patch transformer.
        weight_decay, warmup, amp, precision: of `training.Settings`.
        scaling: "standard", "scale" or "none", per channel, fitted on the series of `fit`.
        scale_group: that many neighbouring channels share a scale.
        pooling: what `transform` returns, of `evaluate.features`.
        missing: what to do with NaN: "raise", "linear", "forward_backward" or "zero".
        random_state: an integer, a `numpy.random.RandomState`, or None for NumPy's global one.
        n_jobs: threads; -1: as many as there are processors; None: as torch is set.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        verbose: 1 prints the loss of every epoch.
        warm_start: `fit` goes on from the weights of the last `fit`, with its scaling.
    """

    encoder: str = "auto"
    views: Any = "forward"
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    weight_decay: float = 1e-3
    warmup: float = 0.05
    amp: str = "auto"
    precision: str = "torch"
    scaling: str = "standard"
    scale_group: int = 1
    pooling: str = "final"
    missing: str = "raise"
    random_state: Any = None
    n_jobs: int | None = None
    device: str = "auto"
    verbose: int = 0
    warm_start: bool = False

    def method_options(self, steps: int) -> dict[str, Any]:
        """Those of the method for series of so many steps: the parameters that a subclass adds."""
        shared = {f.name for f in fields(TrainingParameters)}
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in shared}


@dataclass(kw_only=True, repr=False, eq=False)
class SimCLRParameters(TrainingParameters):
    """temperature: tau of NT-Xent."""

    method: ClassVar[str] = "simclr"
    temperature: float = 0.2


@dataclass(kw_only=True, repr=False, eq=False)
class VICRegParameters(TrainingParameters):
    """width: of the projector; the weights: of the three terms."""

    method: ClassVar[str] = "vicreg"
    width: int = 256
    invariance_weight: float = 25.0
    variance_weight: float = 25.0
    covariance_weight: float = 1.0


@dataclass(kw_only=True, repr=False, eq=False)
class BarlowTwinsParameters(TrainingParameters):
    """width: of the projector; lambd: weight of the redundancy."""

    method: ClassVar[str] = "barlow_twins"
    width: int = 256
    lambd: float = 0.02


@dataclass(kw_only=True, repr=False, eq=False)
class MoCoParameters(TrainingParameters):
    """temperature: tau; momentum: of the teacher; queue: keys that it holds."""

    method: ClassVar[str] = "moco"
    temperature: float = 0.2
    momentum: float = 0.95
    queue: int = 1024


@dataclass(kw_only=True, repr=False, eq=False)
class MaskedParameters(TrainingParameters):
    """ratio: share of the steps that are hidden; size: mean length of a hidden run, None: 8, or
    all steps of shorter series."""

    method: ClassVar[str] = "masked_reconstruction"
    ratio: float = 0.5
    size: int | None = None

    def method_options(self, steps: int) -> dict[str, Any]:
        if steps < 2:
            raise ValueError(
                f"X: n_features = {steps}, the steps of a series; accepted: 2 or more with "
                f"{type(self).__name__}"
            )
        size = min(8, steps) if self.size is None else self.size
        return super().method_options(steps) | {"size": size}


@dataclass(kw_only=True, repr=False, eq=False)
class ClassifierParameters(TrainingParameters):
    """What `SSLClassifier` has besides.

    Args:
        method: a name that `tsssl_fast.methods` knows and that learns without labels.
        options: of the method, such as {"temperature": 0.1}; None: its own.
        classifier: fitted on the frozen encoder's features; a scikit-learn classifier. None:
            logistic regression on standardised features.
        unlabelled: the label of series that have none: they are pre-trained on, and no more.
    """

    method: str = "simclr"
    options: dict[str, Any] | None = None
    classifier: Any = None
    unlabelled: Any = None

    def method_options(self, steps: int) -> dict[str, Any]:
        return dict(self.options or {})


@dataclass(repr=False, eq=False)
class AugmentParameters:
    """
    Args:
        pipeline: a transform or pipeline of `tsssl_fast.augment`, or a name that `training.views`
            knows.
        missing: what to do with NaN: "raise", "linear", "forward_backward" or "zero".
        random_state: an integer, a `numpy.random.RandomState`, or None for NumPy's global one.
    """  # noqa: D212  it stands inside that of Augment

    pipeline: Any = "forward"
    missing: str = "raise"
    random_state: Any = None
