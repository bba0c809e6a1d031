"""A segmentor as one module from pixels to logits or masks, which exporters can trace."""

from __future__ import annotations

from typing import Literal

from seglight import compat  # noqa: F401  (first: mmseg imports mmcv, which imports torchvision)

# isort: split
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglight.exporting.sizes import Padding
from seglight.models.fitting import mmseg_meta
from seglight.models.inference.logits import threshold
from seglight.models.memory_format import set_memory_format
from seglight.models.segmentor import Segmentor

Output = Literal['logits', 'mask']


class Graph(nn.Module):
    """Normalises and pads images, runs a segmentor, and crops its logits to the images.

    Args:
        module: in eval mode on the CPU; its segmentor is used, not copied, and its weights become contiguous: with
            channels-last ones, torch.export finds limits of the size.
        padding: how its images are padded.
        output: logits or masks.
        half: compute in float16; images, normalisation and logits stay as they are.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, module: Segmentor, padding: Padding, output: Output = 'logits', half: bool = False) -> None:
        super().__init__()
        self.segmentor = module.segmentor
        set_memory_format(self.segmentor, False)
        self.padding, self.output = padding, output
        self.threshold = threshold(module.segmentor)
        self.dtype = torch.float16 if half else torch.float32
        self.register_buffer('mean', module.mean.float().view(3, 1, 1).clone())
        self.register_buffer('std', module.std.float().view(3, 1, 1).clone())
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Return the predictions for images of one size.

        Args:
            image: uint8 `[B, 3, H, W]`, RGB.

        Returns:
            float32 logits `[B, C, H, W]`, or masks uint8 `[B, H, W]`.
        """
        height, width = image.shape[2:]
        normal = (image.float() - self.mean) / self.std
        below, right = self.padding.side(height, 0) - height, self.padding.side(width, 1) - width
        if self.padding != Padding():
            normal = F.pad(normal, (0, right, 0, below))
        fitting = normal.to(self.dtype)
        logits: Tensor = self.segmentor.encode_decode(fitting, mmseg_meta(fitting[:1]))
        logits = logits[:, :, :height, :width].float()
        if self.output == 'logits':
            return logits
        labels = logits[:, 0].sigmoid() > self.threshold if logits.shape[1] == 1 else logits.argmax(1)
        return labels.to(torch.uint8)
