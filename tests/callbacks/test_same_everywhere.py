"""All processes of a run must have the same versions of packages, images, and checkpoint."""

import pytest

from seglight.callbacks.same_everywhere import Process, check
from seglight.errors import DataError, UsageError

VERSIONS = {'seglight': '1', 'torch': '2.13.0', 'pytorch-lightning': '2.6.6'}


def process(rank: int, torch: str = '2.13.0', count: int = 8, names: str = 'a') -> Process:
    return Process(f'rank {rank} on m{rank}', {**VERSIONS, 'torch': torch}, {'train': (count, names)})


def test_equal_processes_pass() -> None:
    check([process(0), process(1), process(2)])


def test_other_versions_are_named_with_their_machines() -> None:
    with pytest.raises(UsageError, match=r'rank 0 on m0 has torch 2\.13\.0, and rank 2 on m2 has 2\.12\.1; install'):
        check([process(0), process(1), process(2, torch='2.12.1')])


def test_another_checkpoint_is_named_with_its_machine() -> None:
    first, second = (process(rank)._replace(checkpoint=path) for rank, path in enumerate(('exp1/iter_6.ckpt', None)))
    check([first, first])
    with pytest.raises(UsageError, match=r'^rank 0 on m0 from exp1/iter_6\.ckpt, and rank 1 on m1 from the beginning:'):
        check([first, second])


@pytest.mark.parametrize(('count', 'text'), [(7, '7 images'), (8, 'other images')])
def test_other_images_are_named_with_their_machines(count: int, text: str) -> None:
    with pytest.raises(DataError, match=f'rank 0 on m0 finds 8 images of data.train, and rank 1 on m1 {text}; all'):
        check([process(0), process(1, count=count, names='b')])
