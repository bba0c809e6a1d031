"""Pages in a real browser, and what axe finds in them."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

_CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), '')
_QUIET = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--hide-scrollbars',
]

needs_browser = pytest.mark.skipif(not _CHROMIUM, reason='no Chromium is installed to show the page')

#: Runs axe, and notes the rules that are violated.
_AXE = """<script>
addEventListener('load', () => axe.run().then(found => {
  document.body.setAttribute('data-dark', matchMedia('(prefers-color-scheme: dark)').matches);
  document.body.setAttribute('data-violations', JSON.stringify(found.violations.map(each => each.id)));
}));
</script>
"""


def in_browser(page: Path, *options: str) -> str:
    """Open a page in Chromium; return what it prints."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [_CHROMIUM, *_QUIET, f'--user-data-dir={profile}', *options, page.resolve().as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=90).stdout


def check_with_axe(page: Path) -> None:
    """Check that axe finds nothing in a page, in light and dark colours.

    Nothing is checked without Chromium, or if SEGLIGHT_AXE does not name the file axe.min.js.
    """
    axe = os.environ.get('SEGLIGHT_AXE')
    if not _CHROMIUM or axe is None:
        return
    scripts = f'<script>{Path(axe).read_text()}</script>{_AXE}</body>'
    with TemporaryDirectory() as folder:
        checked = Path(folder, 'checked.html')
        checked.write_text(page.read_text().replace('</body>', scripts))
        for dark in (False, True):
            colours = ['--blink-settings=preferredColorScheme=0'] if dark else []
            dom = in_browser(checked, '--virtual-time-budget=20000', *colours, '--dump-dom')
            found = re.search(r'data-dark="(\w+)" data-violations="([^"]*)"', dom)
            assert found, dom[-500:]
            assert json.loads(found[1]) == dark
            assert html.unescape(found[2]) == '[]', page
