"""Hints for transforms of mmseg's pipelines that have another name here, or are not needed."""

from __future__ import annotations

from collections.abc import Collection

_READ = 'not needed: images and masks are read before the transforms; remove it'
_COLLECTED = 'not needed: images and masks become tensors of a batch after the transforms; remove it'
_NORMALISED = 'not needed: the model normalises on the device, with model.mean and model.std; remove it'

#: By name: arguments that identify mmseg's transform if albumentations has one of the same name, and the advice.
_HINTS: dict[str, tuple[set[str], str]] = {
    'LoadImageFromFile': (set(), _READ),
    'LoadAnnotations': (set(), _READ),
    'Normalize': (set(), _NORMALISED),
    'ToFloat': (set(), _NORMALISED),
    'ToTensorV2': (set(), _COLLECTED),
    'ImageToTensor': (set(), _COLLECTED),
    'DefaultFormatBundle': (set(), _COLLECTED),
    'Collect': (set(), _COLLECTED),
    'MultiScaleFlipAug': (
        set(),
        "mmseg's: put its transforms into the list itself; test-time augmentation is the callback TestTimeAugmentation",
    ),
    'RandomFlip': (set(), "mmseg's: use HorizontalFlip with p for prob"),
    'RandomRotate': (set(), "mmseg's: use Rotate with limit for degree and p for prob"),
    'RandomCutOut': (set(), "mmseg's: use CoarseDropout"),
    'RandomMosaic': (set(), "mmseg's: use Mosaic in data.mixes"),
    'Resize': (
        {'img_scale', 'ratio_range', 'multiscale_mode', 'keep_ratio'},
        "mmseg's: use KeepRatioResize, with the same arguments",
    ),
    'RandomCrop': ({'crop_size', 'cat_max_ratio'}, "mmseg's: use CatMaxRatioCrop with height and width for crop_size"),
    'Pad': (
        {'size', 'size_divisor', 'pad_val', 'seg_pad_val'},
        "mmseg's: use PadTo with height and width for size, or with size_divisor",
    ),
}


def hint_for(name: str, arguments: Collection[str]) -> str:
    """Return what to use instead of a transform, or an empty string.

    Args:
        name: its name or class path; classes outside albumentations and mmseg get no hint.
        arguments: names of its arguments.
    """
    package, _, plain = name.rpartition('.')
    distinctive, advice = _HINTS.get(plain, (set(), ''))
    foreign = package.split('.')[0] not in ('', 'albumentations', 'mmseg')
    given = sorted(distinctive & set(arguments))
    if not advice or foreign or (distinctive and not given):
        return ''
    return f'{name}{" with " + ", ".join(given) if given else ""} is {advice}'
