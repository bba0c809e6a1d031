"""Finding the run that a command goes on with."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from seglight.callbacks.resume import newest_whole
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.errors import ConfigError
from seglight.plain_text import load_yaml

#: What a command may say otherwise and still mean the same run.
OF_THE_COMMAND = ('auto_resume', 'ckpt_path', 'tags', 'trust_checkpoint', 'work_dir')


class Continuation(NamedTuple):
    """Where a run goes on.

    Attributes:
        folder: the folder of the run, None for one of its own.
        checkpoint: what it goes on from, None to start from the beginning.
        notices: what to tell, one line each.
    """

    folder: Path | None
    checkpoint: Checkpoint | None
    notices: list[str]


def find_continuation(config: str, work_dirs: Path, work_dir: Path | None = None) -> Continuation:
    """Find the newest run of a config and its newest checkpoint that is whole.

    Args:
        config: the resolved config as YAML text, as in the `config.yaml` of a run.
        work_dirs: where the folders of runs are.
        work_dir: the folder of the run, if it was named.
    """
    folder = work_dir or _newest_run(_comparable(config), work_dirs)
    if folder is None:
        return Continuation(None, None, [f'No run of this config in {work_dirs}: starting from the beginning'])
    checkpoint, faults = newest_whole(folder)
    notices = [f'Passed over {fault}' for fault in faults]
    stored = folder / 'config.yaml'
    if checkpoint and stored.is_file() and _comparable(stored.read_text()) != _comparable(config):
        notices.append(f'The config differs from {stored}; the new config applies from now on')
    start = (
        f'Resuming from {checkpoint}' if checkpoint else f'No checkpoint in {folder} yet: starting from the beginning'
    )
    return Continuation(folder, checkpoint, [*notices, start])


def _newest_run(config: Any, work_dirs: Path) -> Path | None:
    """Return the folder of the run of a config that was started or resumed last."""
    stored = sorted(work_dirs.glob('*/config.yaml'), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in stored:
        with suppress(OSError, UnicodeDecodeError, ConfigError):  # a damaged config is that of another run
            if _comparable(path.read_text()) == config:
                return path.parent
    return None


def _comparable(config: str) -> Any:
    values = load_yaml(config, 'config.yaml')
    if not isinstance(values, dict):
        return values
    return {name: value for name, value in values.items() if name not in OF_THE_COMMAND}
