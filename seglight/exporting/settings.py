"""The metadata of a file before its proof: what it predicts, and the settings that predictions with it need."""

from __future__ import annotations

from typing import Any

import yaml

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.config.class_names import OF_DATA
from seglight.config.settings import Settings, without_tuples
from seglight.exporting.sizes import Padding
from seglight.exporting.wanted import Wanted
from seglight.installation.requirements import installed_version
from seglight.models.fitting import windows_of_size
from seglight.models.inference.logits import threshold
from seglight.models.segmentor import Segmentor
from seglight.runtimes.metadata import Metadata

#: The settings of sliding windows.
_WINDOWS = ('mode', 'crop_size', 'stride', 'blend', 'window_batch')

#: The settings of the model that evaluation needs.
_EVALUATED = ('per_class', 'boundary_iou')

_PACKAGES = ('seglight', 'torch', 'onnx', 'onnxscript', 'onnxruntime', 'openvino')


def metadata_of(checkpoint: Checkpoint, module: Segmentor, wanted: Wanted, padding: Padding) -> Metadata:
    """Return the metadata of a file.

    Args:
        checkpoint: what is exported.
        module: its segmentor.
        wanted: how it is exported.
        padding: how its images are padded.

    Raises:
        CheckpointError: for a setting of the checkpoint that does not pass the gate.
    """
    segmentor = module.segmentor
    return Metadata(
        run='/'.join(checkpoint.path.absolute().parts[-2:]),
        classes=list(module.classes),
        palette=[[int(each) for each in colour] for colour in module.palette],
        ignore_index=module.ignore_index,
        output=wanted.output,
        align_corners=bool(segmentor.align_corners),
        channels=int(segmentor.out_channels),
        threshold=float(threshold(segmentor)),
        precision=wanted.precision,
        size=list(wanted.size) if wanted.size else None,
        largest=list(padding.fixed) if padding.fixed and not wanted.size else None,
        config=yaml.safe_dump(_config(checkpoint, module, padding), sort_keys=False),
        versions={name: found for name in _PACKAGES if (found := installed_version(name))},
    )


def _config(checkpoint: Checkpoint, module: Segmentor, padding: Padding) -> dict[str, Any]:
    """Return the settings of a run that predictions with the file need."""
    stored = checkpoint.stored(required=False, purpose='prediction')
    stored.check(Settings(), [('data', name) for name in ('train', 'val', 'test', 'split')])
    values = stored.settings.values
    model = {name: value for name, value in values.get('model', {}).items() if name in _EVALUATED}
    own = {name: getattr(module, name) for name in OF_DATA}
    config = {
        'seed_everything': values.get('seed_everything'),
        'model': {**model, 'segmentor': {'test_cfg': windows_of(module, padding)}, 'mean': [0.0] * 3, 'std': [1.0] * 3},
        'data': {**(values.get('data') or {}), **own},
    }
    plain: dict[str, Any] = without_tuples(config)
    return plain


def windows_of(module: Segmentor, padding: Padding) -> dict[str, Any]:
    """Return the `test_cfg` with which a file predicts as its checkpoint does.

    A model for images up to one size processes larger ones in windows, as `seglight.models.inference.logits` does.
    """
    windows = {name: value for name, value in dict(module.segmentor.test_cfg).items() if name in _WINDOWS}
    if padding.fixed and windows.get('mode') != 'slide':
        windows = {'mode': 'slide', **windows_of_size(padding.fixed)}
    return windows
