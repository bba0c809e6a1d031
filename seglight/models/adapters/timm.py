"""mmseg's `TIMMBackbone`, for any image size, with gradient checkpointing, and with weights that load safely."""

from __future__ import annotations

import re
from ast import literal_eval
from functools import cache
from typing import Any, NamedTuple

import torch
from mmseg.models.backbones.timm_backbone import TIMMBackbone as MmsegTIMMBackbone
from mmseg.models.builder import BACKBONES
from torch import Tensor

from seglight.errors import ConfigError, one_line
from seglight.extras import import_extra
from seglight.files import WEIGHTS_SCHEME
from seglight.models.parts import KEY, plain_type
from seglight.models.pretrained import converted_file
from seglight.similar import nearest

_KEY = f'{KEY}.backbone'

#: Arguments that let a model take images of several sizes; the first is for plain, the second for windowed attention.
_ANY_SIZE = ({'dynamic_img_size': True}, {'strict_img_size': False})

#: Arguments of a backbone in a model dict that are not for timm's model.
_OWN_ARGUMENTS = frozenset(
    {'type', 'model_name', 'features_only', 'pretrained', 'checkpoint_path', 'in_channels', 'with_cp', 'init_cfg'}
)


class FeatureMaps(NamedTuple):
    """The channels and the stride of each feature map, and the number of blocks of a plain transformer or 0."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    blocks: int


@BACKBONES.register_module('TIMMBackbone', force=True)
class TIMMBackbone(MmsegTIMMBackbone):  # type: ignore[misc]
    """A backbone of timm. It builds with random weights; `init_weights` loads published or local ones.

    Args:
        model_name: the name in timm, such as `vit_small_patch16_dinov3`.
        features_only: must be true.
        pretrained: whether to load published weights, from the hub.
        checkpoint_path: a local file of weights for timm's model, or `weights://NAME`; nothing is unpickled.
        in_channels: channels of the images.
        with_cp: whether to save memory by gradient checkpointing, as with mmseg's backbones.
        init_cfg: has no effect.
        options: further arguments of the model, such as `out_indices` and `drop_path_rate`.

    Raises:
        ConfigError: if timm is not installed, has no such model, or the model does not accept an option.
    """

    takes_any_argument = True  #: `options` are arguments of the model

    def __init__(
        self,
        model_name: str,
        features_only: bool = True,
        pretrained: bool = True,
        checkpoint_path: str = '',
        in_channels: int = 3,
        with_cp: bool = False,
        init_cfg: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        import_extra('timm', 'timm', f'{_KEY}.type')
        if not features_only:
            raise ConfigError(f'{_KEY}.features_only', 'must be true: heads need feature maps')
        self._arguments = {'model_name': model_name, 'in_channels': in_channels, **options}
        self._arguments |= size_options(self._arguments)
        try:
            super().__init__(pretrained=False, init_cfg=init_cfg, **self._arguments)
        except (TypeError, ValueError, ArithmeticError, AssertionError, RuntimeError, KeyError) as error:
            raise refusal(model_name, error) from error
        self.pretrained, self.checkpoint_path = pretrained, checkpoint_path
        if with_cp:
            self._whole.set_grad_checkpointing(True)

    def init_weights(self) -> None:
        """Load published weights, or those in a file.

        Raises:
            ConfigError: if they cannot be loaded.
            CheckpointError: if `weights://NAME` does not exist; names the nearest.
        """
        if not self.pretrained and not self.checkpoint_path:
            return
        options, key, source = dict(self._arguments), 'pretrained', self._arguments['model_name']
        if self.checkpoint_path:
            key, source = 'checkpoint_path', self.checkpoint_path
            file = converted_file(source) if source.startswith(WEIGHTS_SCHEME) else source
            options['pretrained_cfg_overlay'] = {'file': str(file)}
        try:
            loaded = MmsegTIMMBackbone(pretrained=True, **options)
        except Exception as error:  # the hub's client has many errors
            raise ConfigError(
                f'{_KEY}.{key}', f"cannot load the weights of '{source}': {one_line(error)}; "
                'give a local file as checkpoint_path, or pretrained: false to start from random weights',
            ) from error  # fmt: skip
        self.load_state_dict(loaded.state_dict())

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the feature maps of images `[B, 3, H, W]`, each float `[B, C, h, w]`."""
        maps: list[Tensor] = super().forward(x)
        if getattr(self.timm_model, 'output_fmt', 'NCHW') == 'NHWC':  # Swin
            maps = [each.permute(0, 3, 1, 2).contiguous() for each in maps]
        return maps

    @property
    def _whole(self) -> Any:
        """The model within timm's feature extractor; the extractor itself if timm has flattened the model."""
        return getattr(self.timm_model, 'model', self.timm_model)

    def layers(self) -> dict[str, int]:
        """Return the layer of each parameter, counted from the input, for rates that decay with depth."""
        from timm.models import create_model, group_parameters

        inner = self._whole
        if not hasattr(inner, 'group_matcher'):  # timm has flattened the model
            with torch.device('meta'):
                inner = create_model(self._arguments['model_name'])
        layers = group_parameters(inner, inner.group_matcher(coarse=False), reverse=True)
        last = max(layers.values())
        return {name: layers.get(_unflattened(name), last) for name, _ in self.timm_model.named_parameters()}


def _unflattened(name: str) -> str:
    """Return timm's name of a parameter in the whole model: its feature extractors join the first two words."""
    return re.sub(r'^(?:model\.)?([a-z]+)_(\d+)\.', r'\1.\2.', name.removeprefix('model.'))


def feature_maps(arguments: dict[str, Any]) -> FeatureMaps:
    """Return what timm says of the feature maps of a backbone, which is built on the meta device for that.

    Args:
        arguments: of the backbone in a model dict.

    Raises:
        ConfigError: if timm has no such model, or the model does not accept an argument.
    """
    options = {name: value for name, value in arguments.items() if name not in _OWN_ARGUMENTS}
    return _feature_maps(str(arguments.get('model_name')), repr(sorted(options.items())))


def normalisation(backbone: Any) -> tuple[list[float], list[float]] | None:
    """Return mean and standard deviation, in 0 to 255, of the images that a published model takes.

    Args:
        backbone: in a model dict.

    Returns:
        None for other backbones, and for models that were never published with weights.

    Raises:
        ConfigError: if timm has no such model.
    """
    if not is_timm(backbone):
        return None
    library, name = import_extra('timm', 'timm', f'{_KEY}.type'), str(backbone.get('model_name'))
    try:
        published = library.get_pretrained_cfg(name, allow_unregistered=True)
    except RuntimeError as error:  # for an unknown tag
        raise refusal(name, error) from error
    if published is None:
        return None
    mean, std = ([round(255 * value, 4) for value in values] for values in (published.mean, published.std))
    return mean, std


def is_timm(backbone: Any) -> bool:
    """Return whether the backbone of a model dict is one of timm."""
    return plain_type(backbone) == 'TIMMBackbone'


@cache
def _feature_maps(name: str, options: str) -> FeatureMaps:
    library = import_extra('timm', 'timm', f'{_KEY}.type')
    try:
        with torch.device('meta'):
            model = library.create_model(name, features_only=True, pretrained=False, **dict(literal_eval(options)))
    except (TypeError, ValueError, ArithmeticError, AssertionError, RuntimeError, KeyError) as error:
        raise refusal(name, error) from error
    blocks = getattr(getattr(model, 'model', None), 'blocks', ())
    return FeatureMaps(tuple(model.feature_info.channels()), tuple(model.feature_info.reduction()), len(blocks))


def size_options(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with which a model takes images of several sizes, unless the config sets the size."""
    for options in () if 'img_size' in arguments else _ANY_SIZE:
        try:
            feature_maps({**options, **arguments})
        except ConfigError as error:
            if not isinstance(error.__cause__, TypeError):
                raise
        else:
            return options
    return {}


def refusal(name: str, error: Exception) -> ConfigError:
    """Return the error for a model that timm cannot build."""
    import timm

    names = timm.list_models(include_tags='.' in name)
    if name not in names:
        return ConfigError(f'{_KEY}.model_name', f"timm has no model '{name}'{nearest(name, names)}")
    return ConfigError(_KEY, f'cannot be built by timm: {one_line(error)}')
