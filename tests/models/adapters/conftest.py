"""No test of this folder asks the hub."""

import pytest


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hub's client answer from its cache alone; it reads its environment variable only once."""
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
