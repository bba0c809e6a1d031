"""The sections, in order of importance, and how long each may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Planned:
    """A section before it runs.

    Args:
        name: names its function; `speed:pspnet_r50` calls `speed` with this argument.
        title: its heading.
        limit: seconds after which it is ended, on one H100.
        phase: sections of one phase share a process, which is started again after a failure.
        essential: whether nothing else runs if it fails.
    """

    name: str
    title: str
    limit: float
    phase: str
    essential: bool = False


#: The limits add up to more than the check may take: a section ends on the way, and the total has its own limit.
PLAN = (
    Planned('environment', 'Environment', 60, 'correct', essential=True),
    Planned('ops', 'Operators: CPU against the device', 30, 'correct'),
    Planned('steps', 'A training step of each family: CPU against the device', 75, 'correct'),
    Planned('masks', 'Predicted masks: CPU against the device', 30, 'correct'),
    Planned('waits', 'Waits for the device in the steady state', 45, 'correct'),
    Planned('resume', 'Resuming in deterministic mode', 45, 'correct'),
    Planned('speed:segformer_b2', 'Speed of training: SegFormer-B2', 50, 'speed'),
    Planned('speed:pspnet_r50', 'Speed of training: PSPNet, ResNet-50', 50, 'speed'),
    Planned('speed:deeplabv3plus_r50', 'Speed of training: DeepLabV3+, ResNet-50', 50, 'speed'),
    Planned('speed:segmenter_vit_b', 'Speed of training: Segmenter, ViT-B', 50, 'speed'),
    Planned('files', 'Training from files with the usual augmentations', 30, 'speed'),
    Planned('writing', 'The command predict, with PNG masks', 45, 'speed'),
    Planned('tta', 'Test-time augmentation', 20, 'speed'),
    Planned('sliding', 'Sliding window', 30, 'speed'),
    Planned('compile', 'Training with torch.compile', 90, 'speed'),
)

#: Environment variables of a phase: cuBLAS reads this one when it starts, and is only then deterministic.
ENVIRONMENT = {'correct': {'CUBLAS_WORKSPACE_CONFIG': ':4096:8'}}
