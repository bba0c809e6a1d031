"""Areas are chosen by what they change, counted as if the whole mask were made again."""

import numpy as np
from mmseg.core.evaluation import mean_iou
from scipy import ndimage

from seglight.competition.choosing.refining import AREAS, Changes
from seglight.models.inference.postprocessing import Postprocessing
from seglight.report.evaluation import class_iou


def image(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of large regions, and scores with specks in them."""
    rng = np.random.default_rng(seed)
    labels = (ndimage.gaussian_filter(rng.standard_normal((64, 64)), 8) > 0).astype(np.uint8)
    labels[:2] = 255
    specks = ndimage.gaussian_filter(rng.standard_normal((2, 64, 64)), (0, 1, 1))
    scores = np.eye(2)[labels.clip(0, 1)].transpose(2, 0, 1) * 0.5 + specks
    return labels, scores.astype(np.float32)


def test_each_change_is_that_of_the_whole_mask() -> None:
    labels, scores = image(0)
    changes = Changes(2, 255)
    changes.add(labels, scores)
    none = np.zeros((2, 2), dtype=np.int64)
    for label in (0, 1):
        for area in AREAS:
            rules = {
                'smallest': Postprocessing(smallest_areas={label: area}),
                'holes': Postprocessing(largest_holes={label: area}),
            }
            for kind, rule in rules.items():
                expected = mean_iou([rule.mask(scores)], [labels], 2, 255)['IoU']
                found = changes.confusion + changes.changes.get((kind, label, area), none)
                np.testing.assert_allclose(class_iou(found), expected)


def test_specks_are_removed_where_that_helps() -> None:
    changes = Changes(2, 255)
    images = [image(seed) for seed in range(4)]
    for labels, scores in images:
        changes.add(labels, scores)
    rule = Postprocessing({}, changes.best('smallest'), changes.best('holes'))
    assert rule.smallest_areas
    truth, masks = [each for each, _ in images], [rule.mask(scores) for _, scores in images]
    plain = mean_iou([scores.argmax(0) for _, scores in images], truth, 2, 255)['IoU'].mean()
    assert mean_iou(masks, truth, 2, 255)['IoU'].mean() > plain + 0.01


def test_perfect_masks_stay_as_they_are() -> None:
    labels, _ = image(5)
    changes = Changes(2, 255)
    changes.add(labels, np.eye(2, dtype=np.float32)[labels.clip(0, 1)].transpose(2, 0, 1))
    assert changes.best('smallest') == {}
    assert changes.best('holes') == {}
