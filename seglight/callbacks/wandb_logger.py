"""A logger for W&B that counts optimizer steps, resumes without repeating them, and never ends a run."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import WandbLogger

from seglight.console import labelled
from seglight.errors import one_line, say
from seglight.files import write_atomically
from seglight.masking import masked_arguments

STATE = 'wandb.json'  #: file in the run's folder: id of the W&B run, and the last logged step of each metric
START_TIMEOUT = 20  #: seconds to wait for W&B's server before logging offline


class SteppedLogger(WandbLogger):
    """Lightning's `WandbLogger`, but W&B's step is the optimizer step, logged once, and errors do not end the run.

    Args:
        state: file for the id of the run and the last step of each metric.
        earlier: the contents of that file when the run was interrupted; empty for a new run.
        online: whether to log to the server.
        **options: arguments of `wandb.init`.

    Raises:
        wandb.errors.Error: if the W&B run cannot be started.
    """

    def __init__(self, state: Path, earlier: Mapping[str, Any], online: bool, **options: Any) -> None:
        import wandb

        # No git: W&B would store the URL of the remote, which may contain a token. `environment` has the commit.
        settings = wandb.Settings(silent=True, init_timeout=START_TIMEOUT, disable_git=True)
        with masked_arguments():
            run = wandb.init(
                id=earlier.get('id'),
                resume='allow' if online else None,  # W&B cannot resume offline; the id joins the parts
                mode='online' if online else 'offline',
                settings=settings,
                **options,
            )
        run.define_metric('trainer/global_step')
        run.define_metric('*', step_metric='trainer/global_step', step_sync=True)  # as WandbLogger does
        super().__init__(experiment=run, save_dir=options['dir'], project=options['project'])
        self.state = state
        self.before: dict[str, int] = dict(earlier.get('steps', {}))
        self.steps = dict(self.before)
        self.broken = False
        self._write_state()

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log metrics or media, except those already logged before an interruption."""
        at = max([step or 0, *self.steps.values()]) if step is None else step
        fresh = {name: value for name, value in metrics.items() if at > self.before.get(name, -1)}
        if fresh and not self.broken:
            self._guarded(lambda: self.experiment.log({**fresh, 'trainer/global_step': at}, step=at))
            self.steps.update(dict.fromkeys(fresh, at))
            self._guarded(self._write_state)

    def log_media(self, make: Callable[[], dict[str, Any]], step: int) -> None:
        """Create and log tables and images; an error does not end the training."""
        if not self.broken:
            self._guarded(lambda: self.log_metrics(make(), step))

    def log_checkpoint(self, path: Path) -> None:
        """Upload a checkpoint as an artifact of the run."""
        import wandb

        def log() -> None:
            artifact = wandb.Artifact(f'model-{self.version}', type='model', metadata={'file': path.name})
            artifact.add_file(str(path))
            self.experiment.log_artifact(artifact, aliases=['best'])

        self._guarded(log)

    def finish(self, exit_code: int) -> None:
        """Write what is pending, and end the W&B run."""
        self._guarded(lambda: self.experiment.finish(exit_code=exit_code))

    def _write_state(self) -> None:
        write_atomically(self.state, json.dumps({'id': self.version, 'steps': self.steps}).encode())

    def _guarded(self, action: Callable[[], Any]) -> None:
        """Call W&B; report the first failure, then stop logging."""
        try:
            action()
        except Exception as error:  # a full disk or a bug in W&B must not end the training
            if not self.broken:
                say(labelled('W&B', f'stopped logging: {one_line(error)}; the training continues'))
            self.broken = True


def read_state(file: Path) -> dict[str, Any]:
    """Return the state of the W&B run to resume; empty for a new one."""
    if file.is_file():
        try:
            state = json.loads(file.read_text())
            return {'id': str(state['id']), 'steps': {str(name): int(at) for name, at in state['steps'].items()}}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            say(labelled('W&B', f'{file} is damaged; starting a new W&B run'))
    return {}


def offline_reason(url: str) -> str | None:
    """Return why W&B's server cannot be used: the user's choice, no API key, or no connection; None if it can."""
    import wandb

    mode = os.environ.get('WANDB_MODE', 'online')
    if mode in ('offline', 'dryrun'):
        return f'WANDB_MODE={mode}'
    try:
        if not wandb.login(prompt=False, verify=False):
            return 'no API key; run `wandb login` once'
        urllib.request.urlopen(urllib.request.Request(url, method='HEAD'), timeout=5).close()
    except urllib.error.HTTPError:  # any response shows that the server is reachable
        return None
    except (OSError, ValueError) as error:
        return f'cannot connect to {url}: {one_line(getattr(error, "reason", error))}'
    except wandb.errors.Error as error:
        return one_line(error)
    return None
