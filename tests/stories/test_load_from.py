"""Fine-tuning from the weights of another file."""

from collections.abc import Callable
from pathlib import Path

import torch
from conftest import Result
from safetensors.torch import save_file

Run = Callable[..., Result]


def weights(path: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(path, weights_only=True)['state_dict']
    return weights


def test_training_starts_from_the_weights_of_another_run(trained: Path, tiny_config: Path, run: Run) -> None:
    flags = ['--trainer.max_epochs=1', '--model.optimizer.lr=0', '--model.schedule.min_lr=0']
    for number, source in enumerate([trained / 'epoch_2.ckpt', Path('a.safetensors')], 1):
        if source.suffix == '.safetensors':
            save_file({name: value.contiguous() for name, value in weights(trained / 'epoch_2.ckpt').items()}, source)
        done = run('fit', '--config', tiny_config, *flags, '--load-from', source)
        assert done.status == 0, done.err
        assert f'Weights    {source}' in done.out
        assert 'epoch 1/1' in done.out  # a run of its own, from its first epoch
        expected, found = weights(trained / 'epoch_2.ckpt'), weights(Path(f'work_dirs/exp{number}/epoch_1.ckpt'))
        learned = [name for name in expected if 'running' not in name and 'num_batches' not in name]
        assert all(torch.equal(expected[name], found[name]) for name in learned)


def test_nothing_pretrained_is_fetched_where_weights_are_given(trained: Path, tiny_config: Path, run: Run) -> None:
    flags = ['--trainer.max_epochs=1', '--model.segmentor.pretrained=open-mmlab://gone']
    done = run('fit', '--config', tiny_config, *flags, '--load-from', trained / 'epoch_1.ckpt')
    assert done.status == 0, done.err


def test_weights_for_other_classes_are_taken_but_for_the_heads(trained: Path, tiny_config: Path, run: Run) -> None:
    flags = ['--trainer.max_epochs=1', '--data.palette=null', f'--data.classes={[f"class {i}" for i in range(12)]}']
    done = run('fit', '--config', tiny_config, *flags, '--load-from', trained / 'epoch_1.ckpt')
    assert done.status == 0, done.err
    assert 'mismatched     4  decode_head.conv_seg.weight [11, 16, 1, 1] in the file, [12, 16, 1, 1] here' in done.out
    assert 'epoch_1.ckpt has 11 classes, the data 12: the mismatched weights start from random values' in done.out


def test_weights_that_cannot_be_used_leave_no_run(tiny_config: Path, run: Run) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (Path('was_run'),)

    torch.save({'state_dict': {'a': torch.ones(1)}, 'meta': Payload()}, 'a.pth')
    for name, message in {'a.pth': '--trust-checkpoint', 'none.pth': 'was not found'}.items():
        done = run('fit', '--config', tiny_config, '--load-from', name)
        assert done.status == 2
        assert message in done.err
    assert not Path('was_run').exists()
    trusted = run('fit', '--config', tiny_config, '--load-from', 'a.pth', '--trust-checkpoint')
    assert trusted.status == 2
    assert 'has no weights for this model' in trusted.err
    assert Path('was_run').exists()
    assert not Path('work_dirs').exists()


def test_class_weights_are_the_configs_and_not_those_of_the_file(trained: Path, tiny_config: Path, run: Run) -> None:
    """Older checkpoints hold them as a buffer of torch's loss."""
    checkpoint = torch.load(trained / 'epoch_2.ckpt', weights_only=True)
    checkpoint['state_dict']['segmentor.decode_head.loss_decode.loss.weight'] = torch.full((11,), 9.0)
    torch.save(checkpoint, 'old.ckpt')
    loss = {'_delete_': True, 'type': 'torch.nn.CrossEntropyLoss', 'class_weight': [1.0] * 11}
    flags = [f'--model.segmentor.decode_head.loss_decode={loss}']
    assert run('validate', '--ckpt', 'old.ckpt', *flags).status == 0
    done = run('fit', '--config', tiny_config, *flags, '--trainer.max_epochs=1', '--load-from', 'old.ckpt')
    assert done.status == 0, done.err
    assert 'unexpected     0' in done.out
    assert not [name for name in weights(Path('work_dirs/exp1/epoch_1.ckpt')) if 'loss' in name]
