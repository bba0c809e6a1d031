"""Freezing parts of a segmentor by name patterns."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from seglight.errors import ConfigError
from seglight.similar import nearest


def freeze(segmentor: nn.Module, patterns: Sequence[str]) -> list[nn.Module]:
    """Disable gradients for the parameters of all parts that match a pattern.

    Args:
        segmentor: the module.
        patterns: names of modules or parameters, such as `backbone` or `backbone.layer[12]`, with shell
            wildcards; a module includes everything in it.

    Returns:
        The matching modules. Keep them in eval mode, so that their BatchNorm statistics do not change
        either, as mmseg does with a backbone's `frozen_stages`.

    Raises:
        ConfigError: if a pattern matches nothing (names the nearest part), or nothing is left to train.
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
