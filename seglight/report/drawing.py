"""Figures of matplotlib as files, in which every text stands as it is."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def drawn(figure: Figure, kind: str = 'png', dpi: float | None = None) -> bytes:
    """Return a figure as the content of a file.

    A class may be called `$x^2$`, or have letters that the font lacks: no text is read as a formula.

    Args:
        figure: its texts are changed so that they are drawn as they are.
        kind: format of the file, by its suffix.
        dpi: pixels of an inch; by default the figure's own.
    """
    import matplotlib  # late: only who draws needs it
    from matplotlib.text import Text

    buffer = io.BytesIO()
    with matplotlib.rc_context({'text.parse_math': False}), warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='Glyph .* missing from')
        for text in figure.findobj(Text):
            assert isinstance(text, Text)
            text.set_parse_math(False)
        figure.savefig(buffer, format=kind, dpi=dpi or figure.dpi)
    return buffer.getvalue()
