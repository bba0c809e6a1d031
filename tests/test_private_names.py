"""The private names of other libraries that the package uses: all of them, and whether they still exist.

A private name may go in any release. Each is listed here with where it is; `private_names.py` finds in the source
what is used, so that one that is not listed fails, as does one that is listed and not used.
"""

from __future__ import annotations

import importlib
from importlib import metadata

import pytest
from private_names import is_private, members, used

#: A library, the release that its names are from, and where each of them is.
NAMES = {
    ('argparse', 'Python 3.10 to 3.13'): (
        'argparse:ArgumentParser._actions',
        'argparse:_SubParsersAction._choices_actions',
    ),
    ('jsonargparse', '4.53.0'): (
        'jsonargparse._typehints:ActionTypeHint._typehint',
        'jsonargparse:ArgumentParser._subcommands_action',
    ),
    ('mmcv', '1.7.2'): (
        'mmcv:_ext',
        'mmcv.utils.config:Config._cfg_dict',
        'mmcv.utils.config:DictAction._parse_iterable',
    ),
    ('mmsegmentation', '0.30.0'): (
        'mmseg.models.decode_heads:ISAHead._transform_inputs',
        'mmseg.models.segmentors:EncoderDecoder._decode_head_forward_test',
    ),
    ('numpy', '2.4.6'): ('numpy:_core',),
    ('pytorch_lightning', '2.6.6'): (
        'lightning_fabric.loggers.csv_logs:CSVLogger._experiment',
        'lightning_fabric.loggers.csv_logs:_ExperimentWriter._check_log_dir_exists',
        'lightning_fabric.loggers.csv_logs:_ExperimentWriter._rewrite_with_new_header',
        'lightning_fabric.utilities.seed:_collect_rng_states',
        'lightning_fabric.utilities.seed:_set_rng_states',
        'pytorch_lightning.callbacks:EarlyStopping._check_on_train_epoch_end',
        'pytorch_lightning.callbacks:RichProgressBar._console',
        'pytorch_lightning.callbacks:RichProgressBar._get_train_description',
        'pytorch_lightning.callbacks:StochasticWeightAveraging._average_model',
        'pytorch_lightning.callbacks:StochasticWeightAveraging._initialized',
        'pytorch_lightning.callbacks:StochasticWeightAveraging._scheduler_state',
        'pytorch_lightning.callbacks:Timer._duration',
        'pytorch_lightning.callbacks:Timer._interval',
        'pytorch_lightning.cli:LightningCLI._add_subcommands',
        'pytorch_lightning.cli:LightningCLI._get',
        'pytorch_lightning.cli:LightningCLI._parse_ckpt_path',
        'pytorch_lightning.cli:LightningCLI._parser',
        'pytorch_lightning.cli:LightningCLI._prepare_subcommand_kwargs',
        'pytorch_lightning.cli:LightningCLI._prepare_subcommand_parser',
        'pytorch_lightning.cli:LightningCLI._run_subcommand',
        'pytorch_lightning.cli:LightningCLI._set_seed',
        'pytorch_lightning.cli:LightningCLI._subcommand_parsers',
        'pytorch_lightning.loops.training_epoch_loop:_TrainingEpochLoop._batches_that_stepped',
        'pytorch_lightning.loops.training_epoch_loop:_TrainingEpochLoop._broadcast_sigterm_tensor',
        'pytorch_lightning.strategies:ModelParallelStrategy._data_parallel_size',
        'pytorch_lightning:LightningModule._trainer',
    ),
    ('torch', '2.6 to 2.14'): (
        'torch.fx.experimental:_config',
        'torch.nn.modules.batchnorm:_BatchNorm',
        'torch.nn.modules.loss:_Loss',
        'torch.nn.modules.utils:_pair',
        'torch.optim.lr_scheduler:LRScheduler._last_lr',
        'torch.optim.lr_scheduler:LRScheduler._step_count',
        'torch.utils.data.dataloader:_MultiProcessingDataLoaderIter._shutdown_workers',
        'torch.utils.data:DataLoader._iterator',
        'torch.utils:_python_dispatch',
        'torch.utils:_pytree',
        'torch.utils:_triton',
        'torch:_C',
        'torch:_C._dispatch_has_kernel_for_dispatch_key',
        'torch:_dynamo',
        'torch:_functorch',
        'torch:_inductor',
        'torch:ops.aten._assert_scalar',
    ),
}


def listed() -> set[str]:
    """Return the last part of every name in the table."""
    return {place.rpartition(':')[2].rpartition('.')[2] for places in NAMES.values() for place in places}


def exists(place: str) -> bool:
    """Return whether a module, or a class in it, has a name, be it one that its methods set in an instance."""
    module, _, rest = place.partition(':')
    *parts, name = rest.split('.')
    try:
        home = importlib.import_module(module)
        for part in parts:
            home = getattr(home, part)
        if isinstance(home, type):
            return any(name in members(kind) for kind in home.__mro__)
        return hasattr(home, name) or bool(importlib.import_module(f'{module}.{name}'))
    except (AttributeError, ImportError):
        return False


def installed(library: str) -> str:
    """Return the installed release of a library, for a message."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return 'of this Python'


@pytest.mark.parametrize(
    ('library', 'release', 'place'), [(*key, place) for key, places in NAMES.items() for place in places]
)
def test_a_private_name_still_exists(library: str, release: str, place: str) -> None:
    modules = ', '.join(sorted(used().get(place.rpartition(':')[2].rpartition('.')[2], ())))
    text = f'{place} was in {library} {release} and is gone from the installed {installed(library)}; used in {modules}'
    assert exists(place), text


def test_every_private_name_in_use_is_listed() -> None:
    new = [f'{name} (in {", ".join(sorted(used()[name]))})' for name in sorted(used().keys() - listed())]
    assert not new, f'private names of other libraries that the table lacks: {"; ".join(new)}'


def test_every_listed_name_is_in_use() -> None:
    unused = sorted(listed() - used().keys())
    assert not unused, f'the table lists private names that no module uses any more; remove them: {", ".join(unused)}'


def test_a_name_that_is_gone_is_noticed() -> None:
    assert not exists('torch:_no_such_name')
    assert not exists('torch._no_such_module:name')
    assert not exists('pytorch_lightning.callbacks:Timer._no_such_name')
    assert exists('pytorch_lightning.callbacks:Timer._duration')  # set by __init__
    assert not is_private('__init__')
