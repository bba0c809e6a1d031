"""Find the run that a command resumes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from seglight.callbacks.resume import newest_intact
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.competition.resolving import COMMAND_KEYS
from seglight.errors import UserError
from seglight.plain_text import load_yaml, load_yaml_file
from seglight.run import CONFIG


class Continuation(NamedTuple):
    """Where a run resumes.

    Attributes:
        folder: the folder of the run; None for a new one.
        checkpoint: the checkpoint to resume from; None to start from the beginning.
        notices: messages for the user, one line each.
    """

    folder: Path | None
    checkpoint: Checkpoint | None
    notices: list[str]


def find_continuation(config: str, work_dirs: Path, work_dir: Path | None = None) -> Continuation:
    """Find the newest run of a config and its newest intact checkpoint.

    Args:
        config: the resolved config as YAML text, as in the `config.yaml` of a run.
        work_dirs: the parent folder of the run folders.
        work_dir: the folder of the run, if the user gave it.

    Raises:
        UserError: if the config in that folder cannot be read.
    """
    settings = _comparable(load_yaml(config, CONFIG))
    folder = work_dir or _newest_run(settings, work_dirs)
    if folder is None:
        return Continuation(None, None, [f'No run of this config in {work_dirs}: starting from the beginning'])
    checkpoint, faults = newest_intact(folder)
    notices = [f'Skipped: {fault}' for fault in faults]
    stored = folder / CONFIG
    if checkpoint and stored.is_file() and _comparable(load_yaml_file(stored)) != settings:
        notices.append(f'The config differs from {stored}; the new config applies from now on')
    start = (
        f'Resuming from {checkpoint}' if checkpoint else f'No checkpoint in {folder} yet: starting from the beginning'
    )
    return Continuation(folder, checkpoint, [*notices, start])


def _newest_run(config: Any, work_dirs: Path) -> Path | None:
    """Return the folder of the config's most recently started or resumed run."""
    files = [path for path in work_dirs.glob(f'*/{CONFIG}') if path.is_file()]
    stored = sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in stored:
        with suppress(UserError):  # a damaged config cannot match
            if _comparable(load_yaml_file(path)) == config:
                return path.parent
    return None


def _comparable(values: Any) -> Any:
    """Return a config without the keys of the command."""
    if not isinstance(values, dict):
        return values
    return {name: value for name, value in values.items() if name not in COMMAND_KEYS}
