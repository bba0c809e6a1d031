"""Segmentors of segmentation_models_pytorch (smp)."""

from __future__ import annotations

import inspect
from typing import Any

from mmseg.models.builder import SEGMENTORS
from torch import Tensor, nn

from seglight.array_types import Size
from seglight.errors import ConfigError, one_line
from seglight.extras import import_extra
from seglight.models.adapters.base import Adapter, Losses
from seglight.models.parts import KEY
from seglight.similar import nearest

#: The architectures of smp.
ARCHITECTURES = (
    *('DPT', 'DeepLabV3', 'DeepLabV3Plus', 'FPN', 'Linknet', 'MAnet', 'PAN', 'PSPNet', 'Segformer', 'UPerNet'),
    *('Unet', 'UnetPlusPlus'),
)

#: Arguments of an architecture that the adapter sets, and from what.
_SET_HERE = {
    'classes': 'the classes of the data',
    'in_channels': 'the three channels of the images',
    'activation': 'none, since losses and metrics need logits',
    'aux_params': 'none, since the model must return logits alone',
}


@SEGMENTORS.register_module()
class SMPSegmentor(Adapter):
    """An architecture of segmentation_models_pytorch with one of its encoders.

    Source: https://github.com/qubvel-org/segmentation_models.pytorch

    Args:
        arch: the architecture, such as `Unet`.
        encoder_name: an encoder of smp, or one of timm as `tu-NAME`.
        encoder_weights: published weights of the encoder, such as `imagenet`, from the hub; None for random weights.
        num_classes: set from the data.
        loss_decode: losses as in mmseg's heads, including smp's by class path; cross-entropy by default.
        ignore_index: set from the data.
        train_cfg: has no effect.
        test_cfg: as for mmseg's segmentors.
        options: further arguments of the architecture.

    Raises:
        ConfigError: if smp is not installed, has no such architecture or encoder, or does not accept an option.
    """

    takes_any_argument = True  #: `options` are arguments of the architecture

    def __init__(
        self,
        arch: str,
        encoder_name: str = 'resnet34',
        encoder_weights: str | None = None,
        num_classes: int = 2,
        loss_decode: Losses | None = None,
        ignore_index: int = 255,
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        cls = _architecture(arch)
        _check(cls, encoder_name, options)
        arguments = {**options, 'encoder_name': encoder_name, 'classes': num_classes}
        losses = loss_decode or {'type': 'CrossEntropyLoss'}
        super().__init__(_built(cls, arguments, None), num_classes, losses, ignore_index, train_cfg, test_cfg)
        self.encoder_weights, self._arguments = encoder_weights, arguments

    @property
    def img_size(self) -> Size | None:
        """Height and width of the images for which an encoder of timm has position embeddings."""
        sizes = (getattr(part, 'img_size', None) for part in self.model.modules())
        return next((size for size in sizes if isinstance(size, tuple) and len(size) == 2), None)

    def init_weights(self) -> None:
        """Load the published weights of the encoder, if the config names them.

        Raises:
            ConfigError: if they cannot be fetched.
        """
        if self.encoder_weights is None:
            return
        try:
            pretrained = _built(type(self.model), self._arguments, self.encoder_weights)
        except Exception as error:  # the hub's client has many errors
            raise ConfigError(
                f'{KEY}.encoder_weights',
                f"cannot load '{self.encoder_weights}': {one_line(error)}; null starts from random weights",
            ) from error
        self.model.get_submodule('encoder').load_state_dict(pretrained.get_submodule('encoder').state_dict())

    def logits(self, image: Tensor) -> Tensor:
        """Return the logits of images `[B, 3, H, W]`, float `[B, C, H, W]`."""
        logits: Tensor = self.model(image)
        return logits


def _architecture(name: str) -> type[nn.Module]:
    smp = import_extra('segmentation_models_pytorch', 'smp', f'{KEY}.type')
    if name not in ARCHITECTURES:
        raise ConfigError(
            f'{KEY}.arch', f"must be one of {', '.join(ARCHITECTURES)}, got '{name}'{nearest(name, ARCHITECTURES)}"
        )
    cls: type[nn.Module] = getattr(smp, name)
    return cls


def _check(cls: type[nn.Module], encoder: str, options: dict[str, Any]) -> None:
    """Refuse an unknown encoder, and options that the architecture does not have or that are not the user's."""
    names = import_extra('segmentation_models_pytorch', 'smp', f'{KEY}.type').encoders.get_encoder_names()
    timms = [f'tu-{name}' for name in import_extra('timm', 'smp', f'{KEY}.type').list_models()]  # of smp's requirements
    if encoder not in names and encoder.partition('.')[0] not in timms:
        hint = nearest(encoder, timms if encoder.startswith('tu-') else names)
        message = f"smp has no encoder '{encoder}'{hint}; tu-NAME is an encoder of timm"
        raise ConfigError(f'{KEY}.encoder_name', message)
    known = inspect.signature(cls).parameters
    for name in options:
        if name in _SET_HERE:
            raise ConfigError(f'{KEY}.{name}', f'is set here from {_SET_HERE[name]}; remove it')
        if name not in known:
            raise ConfigError(f'{KEY}.{name}', f"smp's {cls.__name__} has no argument '{name}'{nearest(name, known)}")


def _built(cls: type[nn.Module], arguments: dict[str, Any], weights: str | None) -> nn.Module:
    """Build an architecture with random weights, or with published ones in its encoder."""
    try:
        return cls(**arguments, encoder_weights=weights)
    except (TypeError, ValueError, ArithmeticError, KeyError, AssertionError, RuntimeError) as error:
        if weights is not None:
            raise
        raise ConfigError(KEY, f'cannot be built by smp: {one_line(error)}') from error
