"""Render matplotlib figures to files, with every text verbatim."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def drawn(figure: Figure, kind: str = 'png', dpi: float | None = None) -> bytes:
    """Return a figure as the contents of a file.

    No text is parsed as a formula, since a class may be called `$x^2$`. Glyphs that the font lacks cause no warning.

    Args:
        figure: modified: formulas are disabled in its texts.
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
        figure.savefig(buffer, format=kind, dpi=dpi or figure.dpi)
    return buffer.getvalue()
