"""Render matplotlib figures to files, with every text verbatim, in any script that a font on the machine has."""

from __future__ import annotations

import functools
import io
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Common fonts with Korean, Chinese or Japanese letters, which matplotlib's own font lacks, in order of preference.
EAST_ASIAN_FONTS = (
    *('Noto Sans CJK KR', 'Noto Sans KR', 'NanumGothic', 'Malgun Gothic', 'Apple SD Gothic Neo', 'AppleGothic'),
    *('Noto Sans CJK SC', 'Noto Sans SC', 'Microsoft YaHei', 'PingFang SC', 'WenQuanYi Zen Hei', 'SimHei'),
    *('Noto Sans CJK JP', 'Noto Sans JP', 'Yu Gothic', 'Hiragino Sans', 'IPAexGothic', 'Arial Unicode MS'),
)


def drawn(figure: Figure, kind: str = 'png', dpi: float | None = None) -> bytes:
    """Return a figure as the contents of a file.

    No text is parsed as a formula, since a class may be called `$x^2$`. Letters that matplotlib's font lacks are taken
    from the installed ones of `EAST_ASIAN_FONTS`; where none has them, boxes are drawn without a warning.

    Args:
        figure: modified: formulas are disabled in its texts, and fonts are added to those beyond ASCII.
        kind: the format, by its suffix.
        dpi: pixels per inch; by default the figure's own.
    """
    import matplotlib  # late: needed only for drawing
    from matplotlib.text import Text

    buffer = io.BytesIO()
    with matplotlib.rc_context({'text.parse_math': False}), warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='Glyph .* missing from')
        for text in figure.findobj(Text):
            assert isinstance(text, Text)
            text.set_parse_math(False)
            if not text.get_text().isascii():
                text.set_fontfamily([*text.get_fontfamily(), *east_asian_fonts()])
        figure.savefig(buffer, format=kind, dpi=dpi or figure.dpi)
    return buffer.getvalue()


@functools.cache
def east_asian_fonts() -> tuple[str, ...]:
    """Return the names of the installed fonts of `EAST_ASIAN_FONTS`."""
    from matplotlib import font_manager  # late: it lists all fonts of the machine

    installed = set(font_manager.get_font_names())
    return tuple(name for name in EAST_ASIAN_FONTS if name in installed)
