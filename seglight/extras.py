"""Importing the libraries of optional extras."""

from __future__ import annotations

import importlib
from types import ModuleType

from seglight.errors import ConfigError


def import_extra(package: str, extra: str, key: str) -> ModuleType:
    """Import the package that an optional extra of seglight installs.

    Args:
        package: the name to import.
        extra: of seglight.
        key: the config key that needs it, for the error.

    Raises:
        ConfigError: if the package is not installed.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ConfigError(key, f"needs {package}, which is not installed: pip install 'seglight[{extra}]'") from error
