"""Errors of the machine are told from those about images."""

import pytest

from seglight.machine_errors import SMALLER, cure_of_machine


@pytest.mark.parametrize(
    ('message', 'cure'),
    [
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes", SMALLER),
        ('CUDA out of memory. Tried to allocate 2.00 GiB', SMALLER),
        ('DataLoader worker (pid 5) is killed by signal: Killed. ', f'the system killed it; {SMALLER}'),
        ('Given groups=1, weight of size [8, 3, 3, 3], expected input[1, 4, 8, 8] to have 3 channels', None),
        ('', None),
    ],
)
def test_what_the_machine_lacks_has_a_cure(message: str, cure: str | None) -> None:
    assert cure_of_machine(RuntimeError(message)) == cure
