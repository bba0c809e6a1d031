"""`trainer.deterministic: true` works with the shipped configs, also on a GPU, as far as a CPU can show."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from conftest import Result
from torch.nn.functional import interpolate
from torch.utils._python_dispatch import TorchDispatchMode

from seglight.models import Segmentor

#: The operations that raise on a GPU, by torch's documentation of `use_deterministic_algorithms`.
REFUSED = {
    *('avg_pool3d_backward', '_adaptive_avg_pool2d_backward', '_adaptive_avg_pool3d_backward'),
    *('adaptive_max_pool2d_backward', 'fractional_max_pool2d_backward', 'fractional_max_pool3d_backward'),
    *('max_unpool2d', 'max_unpool3d', 'upsample_linear1d_backward', 'upsample_bilinear2d_backward'),
    *('upsample_bicubic2d_backward', 'upsample_trilinear3d_backward', '_upsample_bilinear2d_aa_backward'),
    *('reflection_pad1d_backward', 'reflection_pad2d_backward', 'reflection_pad3d_backward'),
    *('_ctc_loss_backward', '_embedding_bag_dense_backward', 'put_', 'histc', 'grid_sampler_2d_backward'),
}


def is_refused(name: str, overload: str, args: tuple[Any, ...]) -> bool:
    """Return whether an operation raises on a GPU; some do only with certain arguments."""
    if name == 'nll_loss2d_forward':  # sums without an order, unless it returns the loss of each pixel
        return bool(args[3] != 0)
    if name == 'bincount':
        return len(args) > 1 and args[1] is not None
    if name == 'cumsum':
        return bool(args[0].is_floating_point())
    if name in ('median', 'nanmedian'):
        return overload == 'dim'
    return name in REFUSED or (name == 'scatter_reduce' and 'prod' in args)


class Recorder(TorchDispatchMode):
    """Records the operations that raise on a GPU."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[str] = set()
        self.refused: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, overload = func.overloadpacket.__name__, func._overloadname
        self.seen.add(name)
        if is_refused(name, overload, args):
            self.refused.add(name)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Records what a run does after its start; torch takes the ways for a GPU, since no tensor says it is on the CPU."""
    recorder, start, modes = Recorder(), Segmentor.on_fit_start, ExitStack()

    def on_fit_start(self: Segmentor) -> None:
        start(self)
        modes.enter_context(patch.object(torch.Tensor, 'is_cpu', False))
        modes.enter_context(recorder)

    monkeypatch.setattr(Segmentor, 'on_fit_start', on_fit_start)
    monkeypatch.setattr(Segmentor, 'on_fit_end', lambda _: modes.close())
    with modes:
        yield recorder
    torch.use_deterministic_algorithms(False)


LOVASZ = '--model.segmentor.decode_head.loss_decode={type: LovaszLoss, reduction: none, _delete_: true}'
SIZE = '[{type: RandomCrop, height: 64, width: 64}]'


@pytest.mark.skipif(
    'not input.is_cpu' not in inspect.getsource(interpolate), reason='this torch asks otherwise where a tensor is'
)
@pytest.mark.parametrize(
    ('config', 'options'),
    [
        ('demo', []),
        pytest.param('pspnet', [], marks=pytest.mark.slow),
        pytest.param('segformer', [], marks=pytest.mark.slow),
        pytest.param('demo', [LOVASZ], marks=pytest.mark.slow),
    ],
)
def test_no_operation_of_a_run_raises_on_a_gpu(
    config: str, options: list[str], data_root: Path, workspace: Path, run: Callable[..., Result], recorder: Recorder
) -> None:
    done = run(
        'fit', '--config', f'{config}.yaml', f'--data.root={data_root}', f'--data.train_transforms={SIZE}',
        '--data.batch_size=2', '--data.num_workers=0', '--trainer.max_epochs=1', '--trainer.limit_train_batches=1',
        '--trainer.limit_val_batches=1', '--trainer.accelerator=cpu', '--trainer.deterministic=true', '--report=false',
        *options,
    )  # fmt: skip
    assert done.status == 0, done.err
    assert {'convolution', 'convolution_backward', '_unsafe_index'} < recorder.seen
    assert recorder.refused == set()


def test_the_recorder_finds_what_raises(recorder: Recorder) -> None:
    image = torch.rand(1, 2, 8, 8, requires_grad=True)
    with recorder:
        torch.nn.functional.interpolate(image, size=16, mode='bilinear').sum().backward()
        torch.nn.functional.adaptive_avg_pool2d(image, 3).sum().backward()
        torch.nn.functional.cross_entropy(image, torch.zeros(1, 8, 8, dtype=torch.long))
        torch.rand(3).cumsum(0)
        torch.arange(3).cumsum(0)
    assert recorder.refused == {
        'upsample_bilinear2d_backward', '_adaptive_avg_pool2d_backward', 'nll_loss2d_forward', 'cumsum',
    }  # fmt: skip


def test_an_operation_that_a_gpu_refuses_is_named_with_the_cure(
    tiny_config: Path, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise RuntimeError(
            "histc_cuda does not have a deterministic implementation, but you set 'torch.use_deterministic_algorithms"
            "(True)'. You can turn off determinism just for this operation"
        )

    monkeypatch.setattr(Segmentor, 'training_step', refused)
    done = run('fit', '--config', tiny_config, '--trainer.deterministic=true')
    torch.use_deterministic_algorithms(False)
    assert done.status == 2
    assert "trainer.deterministic cannot be true: a GPU has no deterministic histc_cuda; 'warn' allows it" in done.err
