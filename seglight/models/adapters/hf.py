"""Segmentors of Hugging Face's transformers."""

from __future__ import annotations

from typing import Any

from mmseg.models.builder import SEGMENTORS
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, nn

from seglight.array_types import Size
from seglight.console import labelled
from seglight.counting import counted
from seglight.errors import ConfigError, one_line, say
from seglight.models.adapters import hf_config, hf_dpt, hf_masks
from seglight.models.adapters.base import Adapter, Losses
from seglight.models.parts import KEY


@SEGMENTORS.register_module(hf_config.TYPE_NAME)
class HFSegmentor(Adapter):
    """A segmentor of transformers, with logits for each pixel or for masks that it classifies.

    Source: https://github.com/huggingface/transformers

    Args:
        name: a model of the hub, or a folder with `config.json` and `model.safetensors`. Its weights are loaded
            where their shapes fit; the layer for the classes starts from random weights.
        config: `model_type` and the arguments of that type's configuration; taken from `name` if there is one.
        num_classes: set from the data.
        loss_decode: losses as in mmseg's heads, in place of the model's own; only with logits for each pixel.
        ignore_index: set from the data.
        train_cfg: has no effect.
        test_cfg: as for mmseg's segmentors.

    Raises:
        ConfigError: if transformers is not installed, or does not accept the configuration.
    """

    def __init__(
        self,
        name: str | None = None,
        config: dict[str, Any] | None = None,
        num_classes: int = 2,
        loss_decode: Losses | None = None,
        ignore_index: int = 255,
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
    ) -> None:
        if not config:
            raise ConfigError(KEY, 'needs `name`, a model of the hub or a folder, or `config` with a model_type')
        self.config = hf_config.build_config(dict(config), num_classes, ignore_index)
        self.classifies_masks = self.config.model_type in hf_config.MASK_TYPES
        if self.classifies_masks and loss_decode is not None:
            raise ConfigError(f'{KEY}.loss_decode', f'{self.config.model_type} trains with its own loss; remove it')
        super().__init__(self._create(), num_classes, loss_decode, ignore_index, train_cfg, test_cfg)
        self.name = name

    @property
    def img_size(self) -> Size | None:
        """Height and width of the images for which there are position embeddings; None if they are resized."""
        return None if self._resizes_positions else hf_masks.image_size(self.config)

    @property
    def _resizes_positions(self) -> bool:
        return self.config.model_type == 'dpt' and not self.config.is_hybrid

    @property
    def cannot_compile(self) -> str:
        """Why torch.compile is refused; empty if it is not."""
        kind = self.config.model_type
        return f'the loss of {kind} matches masks outside of torch' if self.classifies_masks else ''

    def init_weights(self) -> None:
        """Load the weights that `name` names, where their shapes fit; nothing is ever unpickled.

        Raises:
            ConfigError: if they cannot be read.
        """
        if self.name is None:
            return
        options = {'use_safetensors': True, 'ignore_mismatched_sizes': True, 'trust_remote_code': False}
        try:
            with hf_config.quiet():
                loaded, report = hf_config.auto_class(self.config.model_type).from_pretrained(
                    self.name, config=self.config, output_loading_info=True, **options
                )
        except Exception as error:  # the hub's client has many errors
            raise hf_config.refusal(self.name, error) from error
        own = self.model.state_dict()
        without = {*report['missing_keys'], *(key for key, *_ in report['mismatched_keys'])}
        if len(without) == len(own):
            raise ConfigError(f'{KEY}.name', f"no weights of '{self.name}' fit {self.config.model_type}")
        self.model.load_state_dict(loaded.state_dict())
        if hf_config.takes_bgr(self.name, self.config.model_type):
            _flip_channels(self.model)
        random = f'; random: {", ".join(sorted(without))}' if without else ''
        text = f'{len(own) - len(without)} of {counted(len(own), "tensor")} from {self.name}{random}'
        rank_zero_only(say)(labelled('Weights', text))

    def logits(self, image: Tensor) -> Tensor:
        """Return the logits of images `[B, 3, H, W]`, float `[B, C, h, w]`.

        Raises:
            ValueError: for a size that the model does not take.
        """
        size = (image.shape[2], image.shape[3])
        hf_masks.check_size(self.config, size)
        outputs = self.model(pixel_values=image)
        if not self.classifies_masks:
            logits: Tensor = outputs.logits
            return logits
        between = hf_masks.size_between(self.config)
        return hf_masks.pixel_logits(outputs.class_queries_logits, outputs.masks_queries_logits, between, size)

    def forward_train(self, img: Tensor, img_metas: Any, gt_semantic_seg: Tensor) -> dict[str, Tensor]:
        """Return the model's own loss, or those of `loss_decode`.

        Args:
            img: float `[B, 3, H, W]`.
            img_metas: has no effect.
            gt_semantic_seg: int64 `[B, 1, H, W]`.
        """
        if self.with_decode_head:
            losses: dict[str, Tensor] = super().forward_train(img, img_metas, gt_semantic_seg)
            return losses
        labels = gt_semantic_seg[:, 0]
        if self.classifies_masks:
            masks, classes = hf_masks.targets(labels, self.ignore_index)
            outputs = self.model(pixel_values=img, mask_labels=masks, class_labels=classes)
        else:
            outputs = self.model(pixel_values=img, labels=labels)
        return {'decode.loss': outputs.loss}

    def _create(self) -> nn.Module:
        try:
            model: nn.Module = hf_config.auto_class(self.config.model_type).from_config(self.config)
        except (TypeError, ValueError, ArithmeticError, AttributeError, ImportError) as error:
            raise ConfigError(f'{KEY}.config', f'is refused by transformers: {one_line(error)}') from error
        if self._resizes_positions:
            hf_dpt.PatchGrid(model)
        return model


def _flip_channels(model: nn.Module) -> None:
    """Let a model that takes BGR images take RGB ones, by the order of its first convolution's weights."""
    first = next(part for part in model.modules() if isinstance(part, nn.Conv2d))
    first.weight.data = first.weight.data.flip(1)
