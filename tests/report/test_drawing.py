"""Figures as files, whatever their texts are."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from seglight.report.drawing import drawn


def figure(text: str) -> Figure:
    made = Figure(figsize=(2, 1), dpi=50)
    axes = made.add_subplot()
    axes.set_title(text)
    axes.plot([0, 1], [1, 0], label=text)
    axes.legend()
    return made


@pytest.mark.parametrize('text', ['road', r'$\foo{$', '$x^2$', r'\frac{', '道路', '🙂', 'a$b$c'])
def test_any_text_is_drawn_without_a_warning(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        picture = Image.open(io.BytesIO(drawn(figure(text))))
    assert picture.size == (100, 50)
    assert len(np.unique(np.asarray(picture))) > 2


def test_a_formula_is_not_drawn_as_one() -> None:
    """As text, `$x^2$` has two dollar signs more than the drawn formula of matplotlib."""
    formula = figure('$x^2$')
    with io.BytesIO() as file:
        formula.savefig(file, format='svg')
        as_formula = file.getvalue()
    assert drawn(figure('$x^2$'), 'svg').count(b'<use') > as_formula.count(b'<use')


def test_the_resolution_and_the_format_can_be_chosen() -> None:
    assert Image.open(io.BytesIO(drawn(figure('a'), dpi=100))).size == (200, 100)
    assert drawn(figure('a'), 'svg').startswith(b'<?xml')
