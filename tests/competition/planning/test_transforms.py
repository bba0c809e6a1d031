"""A plan changes the sizes of transforms, and keeps the others."""

from seglight.competition.planning.transforms import Transforms, training_transforms, validation_transforms

OWN: Transforms = [
    {'type': 'Resize', 'height': 64, 'width': 64},
    {'class_path': 'albumentations.RandomCrop', 'init_args': {'height': 8, 'width': 8}},
    {'type': 'OneOf', 'transforms': [{'type': 'HorizontalFlip'}, {'type': 'CenterCrop', 'height': 8, 'width': 8}]},
    {'type': 'VerticalFlip', 'p': 0.5},
]


def test_sizes_are_replaced_and_other_transforms_stay() -> None:
    assert training_transforms(OWN, (32, 48), 0.5, 2.0) == [
        {'type': 'RandomScale', 'scale_limit': [-0.75, 0.0], 'p': 1.0},
        {'type': 'PadIfNeeded', 'min_height': 32, 'min_width': 48},
        {'type': 'RandomCrop', 'height': 32, 'width': 48},
        {'type': 'VerticalFlip', 'p': 0.5},
    ]
    assert validation_transforms(OWN, 0.5) == [
        {'type': 'VerticalFlip', 'p': 0.5},
        {'type': 'RandomScale', 'scale_limit': [-0.5, -0.5], 'p': 1.0},
    ]


def test_a_config_without_other_transforms_gets_flips_and_colours() -> None:
    assert [each['type'] for each in training_transforms(None, (32, 48), 1.0, 1.25)[3:]] == [
        'HorizontalFlip', 'RandomBrightnessContrast',
    ]  # fmt: skip
