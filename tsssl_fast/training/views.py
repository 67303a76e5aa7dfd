"""The augmentation pipelines that the command line knows by name.

| name        | what it is                                                                    |
| ----------- | ----------------------------------------------------------------------------- |
| `forward`   | crop, time warp, magnitude warp and noise on every sample; time keeps its way |
| `wearable`  | for body-worn sensors: as `forward`, every channel's scale and offset, and    |
|             | channels that are missing                                                     |
| `noise`     | a little noise and nothing else, to measure what the other operations do      |
| `simclr_ts` | the seven augmentations of SimCLR-TS, `augment.presets.simclr_ts`             |
| `ts_tcc`    | a weak view and a strong one, `augment.presets.ts_tcc`                         |
| `trivial_augment` | one operation of all, of any strength, `augment.TrivialAugment`       |
| `rand_augment` | two operations of all, `augment.RandAugment`                            |
| `generated` | crop and a little noise, on 128 steps, every channel standardised: what the   |
|             | encoder that ships was trained with                                           |

`forward` is the default. Accuracy on UWaveGestureLibrary, where some gestures are others run
backwards, by three folds inside the train split (SimCLR, 40 epochs, one seed, standard error 0.02):

| pipeline                                        | linear | kNN   |
| ----------------------------------------------- | ------ | ----- |
| `simclr_ts`                                     | 0.817  | 0.667 |
| `simclr_ts` without its time flip               | 0.900  | 0.867 |
| `forward` with magnitude warp 0.1          | 0.900  | 0.858 |
| `forward`                                       | 0.917  | 0.883 |
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from tsssl_fast.augment import (
    ChannelDropout,
    Compose,
    CropResize,
    Drift,
    MagnitudeSpline,
    MagnitudeWarp,
    RandAugment,
    RandomNoise,
    Scale,
    TimeWarp,
    TrivialAugment,
    presets,
)
from tsssl_fast.common import checks
from tsssl_fast.encoders.resample import resample, standardized
from tsssl_fast.methods import Views


def forward() -> Views:
    return Compose(
        [
            CropResize((0.6, 1.0)),
            TimeWarp(0.6, knots=6),
            MagnitudeWarp(0.3, periods=(0.5, 2.0)),
            RandomNoise(0.05),
        ]
    )


def wearable() -> Views:
    """The offset is in units of the scaled series: an accelerometer at rest shows how it lies on
    the body, and in units of its own deviation, nearly zero then, no offset would hide that. Scale
    the channels of a sensor together (`scaling="scale"`).
    """
    return Compose(
        [
            CropResize((0.6, 1.0)),
            TimeWarp(0.2, knots=4),
            Scale(magnitude=0.1, per_channel=True),
            Drift(0.2, knots=0, relative=False),
            MagnitudeSpline(0.1, knots=4),
            ChannelDropout(0.15),
            RandomNoise(0.1, distribution="normal"),
        ]
    )


def noise() -> Views:
    return Compose([RandomNoise(0.05)])


@dataclass(frozen=True)
class OnGrid:
    """What `views` make of the series, stretched to `steps` steps and standardised by themselves.

    steps: of the grid.
    """

    views: Views
    steps: int

    def __call__(
        self,
        x: Tensor,
        views: int | None = None,
        *,
        seed: int,
        sample_ids: Tensor,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """(N, C, T) -> (views, N, C, steps). Raises ValueError for series of unequal length."""
        if lengths is not None:
            raise ValueError("lengths: series of unequal length; accepted: other views")
        v = self.views(x, views, seed=seed, sample_ids=sample_ids)
        return standardized(resample(v, self.steps))


def on_grid() -> Views:
    return OnGrid(Compose([CropResize((0.6, 1.0)), RandomNoise((0.0, 0.1), "normal")]), 128)


PRESETS: dict[str, Callable[[], Views]] = {
    "forward": forward,
    "wearable": wearable,
    "noise": noise,
    "simclr_ts": presets.simclr_ts,
    "ts_tcc": presets.ts_tcc,
    "trivial_augment": TrivialAugment,
    "rand_augment": RandAugment,
    "generated": on_grid,
}


def preset(name: str) -> Views:
    """The pipeline `name`. Raises ValueError for an unknown one."""
    checks.choice("views", name, tuple(PRESETS))
    return PRESETS[name]()
