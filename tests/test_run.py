"""All readers of a run's folder find the same one."""

from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger

from seglight.callbacks import RunFolder
from seglight.run import run_folder


def test_a_run_folder_wins_over_the_log_and_the_checkpoints(tmp_path: Path) -> None:
    options: dict[str, Any] = {'default_root_dir': tmp_path, 'accelerator': 'cpu'}
    checkpoints = ModelCheckpoint(dirpath=tmp_path / 'elsewhere')
    made = RunFolder('', folder=str(tmp_path / 'run'))
    assert run_folder(Trainer(callbacks=[checkpoints, made], logger=False, **options)) == tmp_path / 'run'
    logging = Trainer(logger=CSVLogger(tmp_path, 'name'), callbacks=[RunFolder('')], **options)
    assert run_folder(logging) == tmp_path / 'name' / 'version_0'
    assert run_folder(Trainer(logger=False, **options)) == tmp_path
