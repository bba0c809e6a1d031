"""The build backend that pip calls for a source distribution without `pyproject.toml` (PEP 517)."""

from __future__ import annotations

from email import message_from_string
from pathlib import Path
from typing import Any


class _Backend:
    def get_requires_for_build_wheel(self, config_settings: Any = None) -> list[str]:  # noqa: ARG002
        return []

    def prepare_metadata_for_build_wheel(self, metadata_directory: str, config_settings: Any = None) -> str:  # noqa: ARG002
        """Write name and version, all that pip compares, and return the folder's name."""
        source = message_from_string(Path('PKG-INFO').read_text(encoding='utf-8'))
        name, version = source['Name'], source['Version']
        folder = Path(metadata_directory, f'{name.replace("-", "_")}-{version}.dist-info')
        folder.mkdir()
        text = f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
        folder.joinpath('METADATA').write_text(text, encoding='utf-8')
        return folder.name


__legacy__ = _Backend()
