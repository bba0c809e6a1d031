"""What changes the training and is not supported is an error with its key."""

from typing import Any

import pytest

from seglight.config.mmseg.unsupported import check_supported
from seglight.errors import ConfigError

GOOD: dict[str, Any] = {
    'model': {'type': 'EncoderDecoder'},
    'optimizer': {'type': 'SGD', 'lr': 0.1},
    'optimizer_config': {'type': 'Fp16OptimizerHook', 'grad_clip': {'max_norm': 1, 'norm_type': 2}},
    'runner': {'type': 'IterBasedRunner', 'max_iters': 10},
    'data': {'train': {'type': 'CustomDataset'}},
    'custom_hooks': [],
}


def test_a_whole_config_passes() -> None:
    check_supported(GOOD)
    check_supported({**GOOD, 'runner': None, 'total_iters': 10})


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'optim_wrapper': {}}, r'optim_wrapper is a key of mmseg 1\.x'),
        ({'model': None}, 'model must be a dict, got None'),
        ({'optimizer': {'a': {'type': 'SGD'}}}, 'optimizer must be one optimizer with a type'),
        ({'data': {}}, r'data\.train must be a data set, got none'),
        ({'evaluation': 5}, 'evaluation must be a dict, got 5'),
        ({'runner': {'type': 'MyRunner'}}, r"runner\.type must be IterBasedRunner or EpochBasedRunner, got 'MyRunner'"),
        ({'runner': {'type': 'IterBasedRunner'}}, 'runner must have max_iters or max_epochs'),
        ({'optimizer_config': {'type': 'MyHook'}}, r"optimizer_config\.type must be OptimizerHook or .*got 'MyHook'"),
        ({'optimizer_config': {'grad_clip': {'norm_type': 1}}}, r'grad_clip\.norm_type must be 2, got 1'),
        ({'custom_hooks': [{'type': 'EMAHook'}]}, r'custom_hooks names hooks of mmcv.*trainer\.callbacks'),
        ({'momentum_config': {'policy': 'cyclic'}}, 'momentum_config is not supported'),
    ],
)
def test_what_is_not_followed_is_an_error(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_supported({**GOOD, **change})
