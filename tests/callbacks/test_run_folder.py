"""The folder of a run, and its logs without W&B."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from conftest import TINY_SEGMENTOR, Result, random_batch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader

from seglight.callbacks import RunFolder
from seglight.models import Segmentor
from seglight.report.run import read_curves

Run = Callable[..., Result]


def test_tensorboard_and_the_csv_file_have_the_same_metrics(trained: Path) -> None:
    written = EventAccumulator(str(trained / 'tensorboard')).Reload()
    curves = read_curves(trained / 'metrics.csv')
    assert {'train/loss', 'lr-SGD', 'val/mIoU', 'val/IoU.Battery'} <= set(written.Tags()['scalars'])
    for name, curve in curves.items():
        events = {event.step: event.value for event in written.Scalars(name)}
        assert {step: pytest.approx(value, rel=1e-5) for step, value in curve} == {
            step: events[step] for step, _ in curve
        }


def test_tensorboard_shows_each_step_of_a_resumed_run_once(
    trained: Path, workspace: Path, run: Callable[..., Result]
) -> None:
    shutil.copytree(trained, 'again')
    Path('again/epoch_2.ckpt').unlink()  # as after a kill in the second epoch
    done = run('fit', '--config', 'again/config.yaml', '--work-dir', 'again', '--auto-resume')
    assert done.status == 0, done.err
    assert 'Resuming from again/epoch_1.ckpt' in done.out
    written = EventAccumulator('again/tensorboard').Reload()
    for name, curve in read_curves(Path('again/metrics.csv')).items():
        assert [event.step for event in written.Scalars(name)] == [step for step, _ in curve]


def test_a_trainer_can_validate_after_it_has_trained(tmp_path: Path) -> None:
    folder = RunFolder('{}', str(tmp_path / 'run'))
    trainer = pl.Trainer(
        accelerator='cpu', max_epochs=1, callbacks=[folder], logger=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    module = Segmentor(TINY_SEGMENTOR, ['a', 'b', 'c', 'd', 'e'])
    batches: Any = [random_batch()]
    loader: DataLoader[Any] = DataLoader(batches, collate_fn=lambda items: items[0])
    trainer.fit(module, loader)
    (figures,) = trainer.validate(module, loader, verbose=False)
    assert 'val/mIoU' in figures
    assert folder.folder == tmp_path / 'run'


FUSED = '--model.optimizer={_delete_: true, type: AdamW, lr: 0.001, fused: true}'


@pytest.mark.parametrize(
    ('flags', 'said'),
    [
        (['--trainer.accumulate_grad_batches=0'], '--trainer.accumulate_grad_batches=0: '),
        (['--trainer.max_steps=0'], '--trainer.max_steps=0: '),
        (['--trainer.max_epochs=0'], '--trainer.max_epochs=0: '),
        (['--trainer.check_val_every_n_epoch=0'], '--trainer.check_val_every_n_epoch=0: '),
        (['--trainer.limit_train_batches=0'], '--trainer.limit_train_batches=0: '),
        (['--trainer.gradient_clip_val=-1'], '--trainer.gradient_clip_val=-1: '),
        (['--trainer.val_check_interval=100'], '`val_check_interval` (100) must be less than or equal'),
        (
            ['--trainer.callbacks+=EMAWeightAveraging', '--trainer.callbacks.decay=2'],
            '--trainer.callbacks.decay=2: trainer.callbacks: Invalid decay value 2.0',
        ),
        (
            [FUSED, '--trainer.gradient_clip_val=1.0', '--trainer.precision=bf16-mixed'],
            'AdamW, does not allow for gradient clipping',
        ),
        (
            ['--model.schedule={_delete_: true, policy: CosineRestart, periods: [1], min_lr: 0.0}'],
            '--model.schedule={_delete_: true, policy: CosineRestart, periods: [1], min_lr: 0.0}: model.schedule cannot',
        ),
        (
            [
                '--model.schedule={_delete_: true, policy: OneCycle, max_lr: 0.1}',
                '--trainer.callbacks+=LearningRateFinder',
            ],
            '--trainer.callbacks+=LearningRateFinder: trainer.callbacks: LearningRateFinder finds optimizer.lr, but the policy OneCycle uses only max_lr',
        ),
    ],
)
def test_invalid_trainer_arguments_give_one_sentence_and_leave_no_folder(
    tiny_config: Path, run: Callable[..., Result], flags: list[str], said: str
) -> None:
    result = run('fit', '--config', tiny_config, *flags)
    assert result.status == 2, result.err
    assert said in result.err
    assert len([line for line in result.err.splitlines() if 'seglight' in line]) == 1
    assert 'Traceback' not in result.err
    assert not list(Path().glob('work_dirs/*'))


def test_a_clip_value_of_0_disables_clipping_as_in_lightning(tiny_config: Path, run: Callable[..., Result]) -> None:
    for name, value in (('off', 'null'), ('zero', '0')):
        clip = f'--trainer.gradient_clip_val={value}'
        assert run('fit', '--config', tiny_config, '--work-dir', name, '--trainer.max_epochs=1', clip).status == 0
    weights = [torch.load(f'{name}/epoch_1.ckpt', weights_only=True)['state_dict'] for name in ('off', 'zero')]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def test_a_folder_with_metrics_stays_when_a_file_turns_bad(tiny_config: Path, own_data: Path, run: Run) -> None:
    def damage(*_: Any) -> None:
        for path in (own_data / 'img_dir/train').iterdir():
            path.write_bytes(b'no image')

    flags = [f'--data.root={own_data}', '--data.batch_size=1']
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, 'on_train_batch_end', damage, raising=False)
        done = run('fit', '--config', tiny_config, *flags)
    assert done.status == 2
    assert 'cannot be read' in done.err
    assert len(Path('work_dirs/exp1/metrics.csv').read_text().splitlines()) >= 2
    assert not list(Path('work_dirs/exp1').glob('*.ckpt'))
