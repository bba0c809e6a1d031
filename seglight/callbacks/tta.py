"""Test-time augmentation as a callback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.models.inference.module import needs_segmentor
from seglight.models.inference.options import Options
from seglight.models.inference.views import Flip, Merge, Views, make_views


class TestTimeAugmentation(Callback):
    """Predicts views of an image (scaled, mirrored, rotated), and merges the predictions.

    For `validate`, `test` and `predict`, with whole or sliding inference; it does not affect the validation within
    `fit`. With the mean of the probabilities, the default, the masks equal those of mmseg's `aug_test` with its
    `MultiScaleFlipAug` and one direction of flips, unless `data.val_transforms` resizes: views are scaled from its
    result, in mmseg from the file. With two directions, mmseg predicts the unmirrored view twice.
    The module must be a `seglight.models.Segmentor`, with any of mmseg's models.

    Args:
        scales: factors for both sides of the image.
        flips: mirrored views to add to the others: `horizontal`, `vertical`, both or none.
        rotations: counterclockwise, in degrees, multiples of 90; 0 is the original image.
        merge: mean of the probabilities, mean of the logits, or vote; a tie goes to the class with the lower label.
        batch_size: number of views of one size, from all images together, in a forward pass.

    Raises:
        UsageError: if an argument has none of these values.
    """

    __test__ = False  # not a test, although pytest would infer so from its name

    def __init__(
        self,
        scales: Sequence[float] = (0.75, 1.0, 1.25),
        flips: Sequence[Flip] = ('horizontal',),
        rotations: Sequence[int] = (0,),
        merge: Merge = 'probabilities',
        batch_size: int = 8,
    ) -> None:
        self.views = Views(make_views(scales, flips, rotations), merge, batch_size)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Reject a module that cannot merge views."""
        if stage != 'fit':
            needs_segmentor(pl_module)

    def adapt(self, options: Options, stage: str) -> Options:
        """Add the views."""
        return options if stage == 'fit' else replace(options, views=self.views)
