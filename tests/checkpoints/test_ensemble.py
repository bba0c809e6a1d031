"""The file of an ensemble, as it is written and as a person might break it."""

from pathlib import Path

import pytest

from seglight.checkpoints.ensemble import Ensemble, Member, read_ensemble
from seglight.errors import UsageError
from seglight.models.inference.postprocessing import Postprocessing
from seglight.models.inference.views import View

FLIPS = {'scales': [1.0], 'flips': ['horizontal']}


def test_a_written_file_is_read_as_it_was(tmp_path: Path) -> None:
    members = [Member(['a/1.ckpt', 'a/2.ckpt'], 2.0), Member(['a/1.ckpt', 'b.ckpt'], 1.0, FLIPS)]
    written = Ensemble(members, {'Paper': 0.3}, {'Glass': 64}, {})
    path = tmp_path / 'ensemble.yaml'
    path.write_text(written.text(['one', 'two']))
    assert path.read_text().startswith('# one\n# two\nmembers:\n')
    read = read_ensemble(path)
    assert read == written
    assert read.checkpoints == ['a/1.ckpt', 'a/2.ckpt', 'b.ckpt']
    assert read.postprocessing(['Metal', 'Glass', 'Paper']) == Postprocessing({2: 0.3}, {1: 64}, {})
    views = read.members[1].made_views()
    assert views is not None
    assert list(views.views) == [View(), View(mirrored=True)]
    with pytest.raises(UsageError, match="the class 'Paper', which its checkpoints do not have"):
        read.postprocessing(['Glass'])


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('[]', 'must be a mapping'),
        ('member: []', 'has keys other than members, thresholds'),
        ('members: []', 'members must be a list of at least one'),
        ('members: [a.ckpt]', 'a member must have the keys checkpoints, weight, views'),
        ('members: [{checkpoints: a.ckpt, weight: 1}]', 'checkpoints of a member must be a list of paths'),
        ('members: [{checkpoints: [a], weight: 0}]', 'weight of a member must be above 0 and below 1e308, got 0'),
        (f'members: [{{checkpoints: [a], weight: {10**309}}}]', 'must be above 0 and below 1e308, got 1000'),
        ('members: [{checkpoints: [a], weight: .nan}]', 'must be above 0 and below 1e308, got nan'),
        ('members: [{checkpoints: [a], weight: 1, views: flips}]', 'views of a member must be a mapping or null'),
        ('members: [{checkpoints: [a], weight: 1, views: {scale: [1]}}]', "unknown key 'scale' of views"),
        ('members: [{checkpoints: [a], weight: 1, views: {scales: 1}}]', 'must have lists as scales'),
        ('members: [{checkpoints: [a], weight: 1}]\nthresholds: {a: 2}', 'thresholds must have numbers from 0 to 1'),
        ('members: [{checkpoints: [a], weight: 1}]\nsmallest_areas: {a: 0.5}', 'smallest_areas must have whole numbers'),
    ],
)  # fmt: skip
def test_wrong_files_are_named_with_their_fault(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / 'ensemble.yaml'
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        read_ensemble(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'--ensemble .*none\.yaml cannot be read: No such file'):
        read_ensemble(tmp_path / 'none.yaml')
