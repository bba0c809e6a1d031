"""One training step of each family: the device must compute what the CPU computes in float64."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from mmcv.cnn.bricks.drop import DropPath
from torch import Tensor, nn

from gpu.attempts import attempt
from gpu.lab import CLASSES, Lab, float32, moved
from gpu.results import RIGHT, Row
from gpu.sections.errors import relative_error
from seglight.batch import Batch
from seglight.models import Segmentor
from seglight.models.loss_items import mean, total
from seglight.models.optimizers import build_optimizer

#: PSPNet's auxiliary head gets a sigmoid loss for each class.
FAMILIES = (
    *('pspnet_r50', 'deeplabv3plus_r50', 'segformer_b0', 'upernet_swin'),
    *('ocrnet_hr18', 'fast_scnn', 'psanet_r50', 'knet_fcn_r50'),
)
TINY = ('segformer_b0', 'fast_scnn')

#: Maximum relative errors against float64. Kernels that trade precision for speed (Winograd) may have several times
#: the error of the CPU's float32.
LOSS, GRADIENTS, WEIGHTS, TIMES_CPU = 1e-4, 1e-3, 1e-5, 10


class Step(NamedTuple):
    """The results of a step."""

    loss: Tensor
    gradients: list[Tensor]
    weights: list[Tensor]


def steps(lab: Lab, argument: str = '') -> Iterator[Row]:
    """Yield a row for each family."""
    del argument
    batch = lab.batch(2, 64 if lab.tiny else 128)
    for name in TINY if lab.tiny else FAMILIES:
        yield from attempt({'model': name}, partial(_rows, lab, name, batch))
        lab.tidy()


def _rows(lab: Lab, name: str, batch: Batch) -> Iterator[Row]:
    with float32(precise=True):
        yield compared(name, step_model(lab.model(name)), batch, lab.device)


def step_model(model: dict[str, Any]) -> Segmentor:
    """Return the segmentor of a model dict, without what is random in a step, and with a sigmoid loss where it can."""
    auxiliary = model.get('auxiliary_head')
    if isinstance(auxiliary, dict) and model['decode_head']['type'] == 'PSPHead':
        auxiliary['loss_decode'] = {'type': 'CrossEntropyLoss', 'use_sigmoid': True, 'loss_weight': 0.4}
    torch.manual_seed(0)
    module = Segmentor(model, CLASSES)
    for part in module.modules():
        if isinstance(part, (nn.Dropout, nn.Dropout2d)):
            part.p = 0.0
        if isinstance(part, nn.MultiheadAttention):
            part.dropout = 0.0
        if isinstance(part, DropPath):
            part.drop_prob = 0.0
    return module


def compared(name: str, module: Segmentor, batch: Batch, device: str) -> Row:
    """Return the errors of a step on the device and on the CPU, both in float32."""
    truth = step(module, batch, 'cpu', torch.float64)
    cpu, other = (step(module, batch, each, torch.float32) for each in ('cpu', device))
    loss = relative_error([other.loss], [truth.loss])
    gradients = relative_error(other.gradients, truth.gradients)
    weights = relative_error(other.weights, truth.weights)
    own = relative_error(cpu.gradients, truth.gradients)
    right = loss <= LOSS and gradients <= max(GRADIENTS, TIMES_CPU * own) and weights <= WEIGHTS
    errors: Row = {'loss, error': loss, 'gradients, error': gradients, 'weights, error': weights}
    return {'model': name, **errors, "gradients, CPU's error": own, RIGHT: right}


def step(module: Segmentor, batch: Batch, device: str, dtype: torch.dtype) -> Step:
    """Return the results of one step of a copy of the module."""
    copied = copy.deepcopy(module).to(device, dtype).train()
    optimizer = build_optimizer(copied.segmentor, {'type': 'SGD', 'lr': 0.01, 'momentum': 0.9})
    loss = total({name: mean(value) for name, value in copied.losses(moved(batch, device)).items()})
    loss.backward()
    parameters = [each for each in copied.segmentor.parameters() if each.grad is not None]
    gradients = [each.grad.cpu() for each in parameters if each.grad is not None]
    optimizer.step()
    return Step(loss, gradients, [each.detach().cpu() for each in parameters])
