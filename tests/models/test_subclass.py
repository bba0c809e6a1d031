"""What is recorded about a subclass of `Segmentor`."""

from typing import Any

from seglight.models import Segmentor
from seglight.models.subclass import record_of


class Trains(Segmentor):
    """Changes only the training."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return None


class Predicts(Trains):
    """Changes predictions, too."""

    def forward(self, batch: Any) -> Any:
        return []

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        return batch


def test_only_what_changes_predictions_is_listed() -> None:
    assert record_of(Segmentor) is None
    assert record_of(Trains) == {'name': f'{__name__}.Trains', 'predicts': []}
    found = record_of(Predicts)
    assert found is not None
    assert found['predicts'] == ['forward', 'transfer_batch_to_device']
