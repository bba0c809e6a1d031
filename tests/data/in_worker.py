"""What tests run in loader processes, in a module that a spawned process can import."""

import signal
import sys
from typing import Any, cast

from seglight.data import sending


def first(free: float, items: list[Any]) -> Any:
    """Return the only item of a batch; this process finds so much shared memory free."""
    sending.free_shared_memory = lambda: free
    return items[0]


def handlers(_: Any) -> dict[str, Any]:
    """Return the names of the handlers of two signals as a batch."""
    return {
        'names': [cast(signal.Handlers, signal.getsignal(number)).name for number in (signal.SIGINT, signal.SIGTERM)]
    }


def trainers(_: Any) -> dict[str, Any]:
    """Return the packages that only a trainer needs and that this process has imported, as a batch."""
    return {'names': sorted({'pytorch_lightning', 'lightning_fabric', 'torchmetrics'} & set(sys.modules))}
