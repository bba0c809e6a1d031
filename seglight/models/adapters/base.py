"""The interface of mmseg's segmentors for segmentors of other libraries."""

from __future__ import annotations

from typing import Any

from mmcv.runner import BaseModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.segmentors import EncoderDecoder
from mmseg.ops import resize
from torch import Tensor, nn

from seglight.array_types import Size

#: Losses as in mmseg's heads: one dict or a list of dicts.
Losses = dict[str, Any] | list[dict[str, Any]]


class Adapter(EncoderDecoder):  # type: ignore[misc]
    """A segmentor of another library that is used like one of mmseg's.

    Of `EncoderDecoder` it keeps the inference, which calls `encode_decode`, but no backbone, neck or heads.

    Args:
        model: the module of the other library.
        num_classes: number of classes of its logits.
        loss_decode: losses of the logits; None for the loss of the other library.
        ignore_index: label that does not count.
        train_cfg: has no effect; mmseg's builder passes it.
        test_cfg: whole or sliding inference, as for mmseg's segmentors.
    """

    align_corners = False

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        loss_decode: Losses | None,
        ignore_index: int,
        train_cfg: dict[str, Any] | None,
        test_cfg: dict[str, Any] | None,
    ) -> None:
        BaseModule.__init__(self)
        self.model = model
        self.num_classes = self.out_channels = num_classes
        self.ignore_index = ignore_index
        self.train_cfg, self.test_cfg = train_cfg, test_cfg or {'mode': 'whole'}
        if loss_decode is not None:
            self.decode_head = Logits(num_classes, loss_decode, ignore_index)

    @property
    def backbone(self) -> nn.Module:
        """The whole module: it stands where mmseg's segmentors have a backbone."""
        return self.model

    @property
    def img_size(self) -> Size | None:
        """Height and width of the only images that the module takes; None if it takes others."""
        return None

    def logits(self, image: Tensor) -> Tensor:
        """Return the logits of images `[B, 3, H, W]`, float `[B, C, h, w]`."""
        raise NotImplementedError

    def extract_feat(self, img: Tensor) -> Tensor:
        """Return `logits`: the other library does not separate features from logits."""
        return self.logits(img)

    def encode_decode(self, img: Tensor, img_metas: Any) -> Tensor:
        """Return the logits at the size of the images, float `[B, C, H, W]`."""
        del img_metas
        logits: Tensor = resize(self.logits(img), img.shape[2:], None, 'bilinear', self.align_corners, warning=False)
        return logits

    def forward_train(self, img: Tensor, img_metas: Any, gt_semantic_seg: Tensor) -> dict[str, Tensor]:
        """Return the losses of images `[B, 3, H, W]` with labels int64 `[B, 1, H, W]`."""
        del img_metas
        losses: dict[str, Tensor] = self.decode_head.losses(self.logits(img), gt_semantic_seg)
        return {f'decode.{name}': value for name, value in losses.items()}


class Logits(BaseDecodeHead):  # type: ignore[misc]
    """A head of mmseg for logits that are there already: it has their losses.

    Args:
        num_classes: channels of the logits.
        loss_decode: their losses.
        ignore_index: label that does not count.
    """

    def __init__(self, num_classes: int, loss_decode: Losses, ignore_index: int) -> None:
        super().__init__(
            num_classes, num_classes, num_classes=num_classes, loss_decode=loss_decode, ignore_index=ignore_index,
            dropout_ratio=0, init_cfg=None,
        )  # fmt: skip
        self.conv_seg = nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits unchanged."""
        return inputs
