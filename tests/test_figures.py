"""Figures as files, whatever their texts are."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image

from seglight.figures import drawn, east_asian_fonts


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


@pytest.fixture
def korean_font(tmp_path: Path) -> Iterator[None]:
    """A font with the two letters of the Korean word for road, one a bar that stands and one a bar that lies."""
    names = ['.notdef', 'do', 'ro']
    bars = {'.notdef': (0, 0, 9, 9), 'do': (400, 0, 500, 900), 'ro': (0, 400, 900, 500)}
    glyphs = {}
    for name, (left, bottom, right, top) in bars.items():
        pen = TTGlyphPen(None)
        pen.moveTo((left, bottom))
        for corner in ((left, top), (right, top), (right, bottom)):
            pen.lineTo(corner)
        pen.closePath()
        glyphs[name] = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord('도'): 'do', ord('로'): 'ro'})
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({'familyName': 'NanumGothic', 'styleName': 'Regular'})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / 'font.ttf')
    fonts = font_manager.fontManager.ttflist
    before = list(fonts)
    fonts[:] = [font for font in before if 'NanumGothic' not in font.name]
    font_manager.fontManager.addfont(tmp_path / 'font.ttf')
    east_asian_fonts.cache_clear()
    yield
    fonts[:] = before
    east_asian_fonts.cache_clear()


def title(text: str) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Return where a page that shows nothing but a title in large letters is dark."""
    made = Figure(figsize=(2, 1), dpi=50)
    made.text(0.1, 0.1, text, fontsize=50)
    return np.asarray(Image.open(io.BytesIO(drawn(made))).convert('L')) < 128


@pytest.mark.usefixtures('korean_font')
def test_korean_letters_come_from_an_installed_font() -> None:
    assert 'NanumGothic' in east_asian_fonts()
    stands, lies = np.argwhere(title('도')), np.argwhere(title('로'))
    assert np.ptp(stands, axis=0)[0] > 5 * np.ptp(stands, axis=0)[1]
    assert np.ptp(lies, axis=0)[1] > 5 * np.ptp(lies, axis=0)[0]


@pytest.mark.usefixtures('korean_font')
def test_another_text_keeps_matplotlibs_own_font() -> None:
    made = Figure()
    text = made.text(0, 0, 'road')
    drawn(made)
    assert 'NanumGothic' not in text.get_fontfamily()
