"""The configurations of transformers' segmentors, as plain dicts in a model dict."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seglight.config.catalogue import HF_NAME, names
from seglight.errors import ConfigError, one_line, warn
from seglight.extras import import_extra
from seglight.models.parts import KEY, Part, plain_type
from seglight.similar import nearest

#: The `model_type` of models with logits for each pixel.
PIXEL_TYPES = ('beit', 'data2vec-vision', 'dpt', 'mobilenet_v2', 'mobilevit', 'mobilevitv2', 'segformer', 'upernet')

#: The `model_type` of models that classify masks.
MASK_TYPES = ('eomt', 'eomt_dinov3', 'mask2former', 'maskformer')

TYPES = (*PIXEL_TYPES, *MASK_TYPES)

#: The `model_type` of segmentors that do not fit, and the reason.
UNSUPPORTED = {'oneformer': 'needs a text that names the task with each image; mask2former and eomt need none'}

TYPE_NAME = 'HFSegmentor'

#: Settings that fetch weights while a model is built.
_FETCHING = {'use_pretrained_backbone': False}


def transformers() -> Any:
    """Import transformers.

    Raises:
        ConfigError: if it is not installed.
    """
    return import_extra('transformers', 'transformers', f'{KEY}.type')


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the bars and tables that transformers prints while it loads weights."""
    logging = transformers().utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def is_adapter(part: Part) -> bool:
    """Return whether a part is a segmentor of transformers."""
    return plain_type(part.values) == TYPE_NAME


def names_model(part: Part) -> bool:
    """Return whether a part names a model of transformers whose configuration it does not have."""
    return is_adapter(part) and bool(part.values.get('name')) and not part.values.get('config')


def fill_in(part: Part) -> None:
    """Give a part the configuration of the model that it names, in place; `name` stays, for the weights.

    Raises:
        ConfigError: if it cannot be read.
    """
    if not names_model(part):
        return
    name = part.values['name']
    _check_folder(name)
    try:
        config = _from_cache_or_hub(transformers().AutoConfig, name)
    except (OSError, ValueError, KeyError) as error:
        raise refusal(name, error) from error
    _check_type(config.model_type, f'{KEY}.name', 'of the type')
    part.values['config'] = _architecture(config.to_diff_dict())


def normalisation(part: Part) -> tuple[list[float], list[float]] | None:
    """Return mean and standard deviation, in 0 to 255, of the images that a named model takes.

    Args:
        part: the outermost of a recipe.

    Returns:
        None for other segmentors, and where the image processor says nothing.
    """
    name = part.values.get('name')
    if not is_adapter(part) or not name:
        return None
    processor = _image_processor(name)
    if processor is None:
        warn(f'{name} has no image processor: images are normalised with the mean and standard deviation of ImageNet')
        return None
    if not processor.do_normalize:
        return [0.0] * 3, [255.0 if processor.do_rescale else 1.0] * 3
    factor = 1 / processor.rescale_factor if processor.do_rescale else 1.0
    mean, std = ([float(value) * factor for value in values] for values in (processor.image_mean, processor.image_std))
    return mean, std


def takes_bgr(name: str, model_type: str) -> bool:
    """Return whether a named model takes the channels of images in the order blue, green, red, as MobileViT does."""
    usual = model_type.startswith('mobilevit')  # the default of its processor, which may be missing
    return bool(getattr(_image_processor(name), 'do_flip_channel_order', usual))


def _image_processor(name: str) -> Any:
    """Return a model's image processor, None if it has none."""
    try:
        return _from_cache_or_hub(transformers().AutoImageProcessor, name)
    except (OSError, ValueError, KeyError, ImportError):
        return None


def _from_cache_or_hub(cls: Any, name: str) -> Any:
    """Return what a model's folder, the hub's cache on this machine or else the hub has; nothing runs its code."""
    try:
        return cls.from_pretrained(name, trust_remote_code=False, local_files_only=True)
    except OSError:
        return cls.from_pretrained(name, trust_remote_code=False)


def _check_folder(name: str) -> None:
    """Refuse the path of a folder that does not exist, which the hub's client would take for a name of the hub.

    Raises:
        ConfigError: names the nearest folder.
    """
    path = Path(name)
    if not path.is_dir() and (path.is_absolute() or name.startswith('.') or len(path.parts) > 2):
        raise ConfigError(f'{KEY}.name', f"'{name}' is not a folder{nearest(name, _folders_beside(path))}")


def _folders_beside(path: Path) -> list[str]:
    """Return the paths of the folders next to a path."""
    return [str(each) for each in path.parent.glob('*') if each.is_dir()]


def refusal(name: str, error: Exception) -> ConfigError:
    """Return the error for a model that cannot be read; names the nearest model of the hub, or folder."""
    hint = '' if Path(name).is_dir() or name in names(HF_NAME) else nearest(name, known_names(name), 0.8)
    return ConfigError(
        f'{KEY}.name',
        f"cannot load '{name}'{hint or ':'} {one_line(error)}; give a folder with config.json and model.safetensors, "
        'or `config` in place of `name` for random weights',
    )


def known_names(name: str) -> list[str]:
    """Return the models of the hub that `seglight zoo` lists, and the folders next to the path that a name may be."""
    return [*names(HF_NAME), *_folders_beside(Path(name))]


def build_config(values: dict[str, Any], num_classes: int, ignore_index: int) -> Any:
    """Return the configuration object for a number of classes.

    Args:
        values: `model_type` and the arguments of that type's configuration.
        num_classes: of the data.
        ignore_index: label that does not count.

    Raises:
        ConfigError: for an unknown type or argument; names the nearest.
    """
    _check_type(str(values.get('model_type')), f'{KEY}.config.model_type', 'one of')
    _check_arguments(values, f'{KEY}.config')
    try:
        config = transformers().AutoConfig.for_model(**_without_fetching(values), num_labels=num_classes)
    except Exception as error:  # transformers checks types with errors of its own
        raise ConfigError(f'{KEY}.config', f'is refused by transformers: {one_line(error)}') from error
    for name in ('semantic_loss_ignore_index', 'loss_ignore_index', 'ignore_value'):
        if hasattr(config, name):
            setattr(config, name, ignore_index)
    return config


def auto_class(kind: str) -> Any:
    """Return the class of transformers that builds segmentors of a `model_type`."""
    if kind in MASK_TYPES:
        return transformers().AutoModelForUniversalSegmentation
    return transformers().AutoModelForSemanticSegmentation


def _check_type(kind: str, key: str, wanted: str) -> None:
    """Refuse a `model_type` that is not one of the supported segmentors.

    Args:
        kind: the `model_type`.
        key: the key that sets it.
        wanted: how its value relates to the types, for the error.

    Raises:
        ConfigError: gives the reason, or names the nearest type.
    """
    if kind in UNSUPPORTED:
        raise ConfigError(key, f'cannot be {kind}, which {UNSUPPORTED[kind]}')
    if kind not in TYPES:
        raise ConfigError(key, f"must be {wanted} {', '.join(TYPES)}, got '{kind}'{nearest(kind, TYPES)}")


def _check_arguments(values: dict[str, Any], key: str) -> None:
    """Refuse arguments that a configuration does not have: transformers stores them without a word."""
    kind = values.get('model_type')
    types = transformers().CONFIG_MAPPING
    if kind not in types:
        raise ConfigError(f'{key}.model_type', f"transformers has no '{kind}'{nearest(str(kind), types)}")
    known = _arguments(str(kind))
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f'{key}.{name}', f"{kind} has no argument '{name}'{nearest(name, known)}")
        if isinstance(value, dict) and 'model_type' in value:
            _check_arguments(value, f'{key}.{name}')


def _arguments(kind: str) -> set[str]:
    """Return the arguments that describe an architecture; the others are labels, versions and what a model returns."""
    cls, base = transformers().CONFIG_MAPPING[kind], transformers().PreTrainedConfig
    own = {field.name for field in dataclasses.fields(cls)} - {field.name for field in dataclasses.fields(base)}
    return own | set(cls.attribute_map) | {'model_type', 'out_features', 'out_indices'}


def _architecture(values: dict[str, Any]) -> dict[str, Any]:
    """Return a published configuration without what does not describe the architecture."""
    known = _arguments(values['model_type']) if 'model_type' in values else set(values)
    return {
        name: _architecture(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if name in known
    }


def _without_fetching(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _FETCHING.get(name, _without_fetching(inner)) for name, inner in value.items()}
