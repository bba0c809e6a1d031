"""Freezing parts of a segmentor by the pattern of their names."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from seglight.config.settings import nearest
from seglight.errors import ConfigError


def freeze(segmentor: nn.Module, patterns: Sequence[str]) -> list[nn.Module]:
    """Let the parameters of all parts that match a pattern get no gradients.

    Args:
        segmentor: the module.
        patterns: names of modules or parameters, such as `backbone` or `backbone.layer[12]`, with the
            wildcards of a shell; a module stands for everything in it.

    Returns:
        The modules that match. Keep them in eval mode, so that the statistics of their BatchNorm stay
        what they are too, as mmseg does with a backbone's `frozen_stages`.

    Raises:
        ConfigError: if a pattern matches nothing, with the nearest name, or nothing is left to train.
    """
    modules = dict(segmentor.named_modules())
    parameters = dict(segmentor.named_parameters())
    frozen: list[nn.Module] = []
    for pattern in patterns:
        matched = [modules[name] for name in modules if name and fnmatchcase(name, pattern)]
        single = [parameters[name] for name in parameters if fnmatchcase(name, pattern)]
        if not matched and not single:
            message = f"no part is named '{pattern}'{nearest(pattern, [*modules, *parameters])}"
            raise ConfigError('model.frozen', message)
        for part in [*matched, *single]:
            part.requires_grad_(False)
        frozen += matched
    if patterns and not any(parameter.requires_grad for parameter in parameters.values()):
        raise ConfigError('model.frozen', 'names every part: nothing is left to train')
    return frozen
