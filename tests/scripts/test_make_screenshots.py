"""The pictures of the documentation: what is in them, and that they are small and need nothing else."""

import html
import re
from pathlib import Path
from xml.etree import ElementTree

import make_screenshots
import numpy as np
from PIL import Image
from report.test_evaluation import make_evaluation

DOCS = Path(__file__).parents[2] / 'docs'


def texts(svg: str) -> str:
    """The texts of a picture, in order."""
    words = [element.text or '' for element in ElementTree.fromstring(svg).iter() if element.tag.endswith('}text')]
    return ''.join(words).replace('\xa0', ' ')


def test_a_terminal_shows_what_was_typed_and_printed_in_its_styles() -> None:
    commands = [('seglight <fit>', [('seglight: ', 'bold red'), ('a ', ''), ('& cure', 'bold')])]
    svg = make_screenshots.terminal_svg(commands)
    assert '$ seglight <fit>' in texts(svg)
    assert 'seglight: a & cure' in texts(svg)
    bold = re.findall(r'\.(terminal-r\d+) \{[^}]*bold', svg)
    assert [cls for cls in bold if re.search(rf'class="{cls}"[^>]*>&amp;&#160;cure<', svg)]
    assert svg == make_screenshots.terminal_svg(commands)
    assert 'http' not in svg.replace('http://www.w3.org/2000/svg', '')


def test_the_last_lines_are_those_of_the_evaluation() -> None:
    found = make_evaluation()
    lines = make_screenshots.last_lines(found, 'work_dirs/exp1', 'best.ckpt').splitlines()
    assert lines[1].split() == ['class', '1', f'{100 * found.iou[1]:.2f}', '%']
    figures = {line.split()[0]: line.split()[1] for line in lines if line.startswith(('  m', '  a'))}
    right = found.confusion.diagonal()
    assert figures['mIoU'] == f'{100 * np.nanmean(found.iou):.2f}'
    assert figures['aAcc'] == f'{100 * right.sum() / found.confusion.sum():.2f}'


def test_a_report_is_shown_in_both_colours() -> None:
    page = '<style>@media screen and (prefers-color-scheme: dark) {}</style><img loading="lazy" src="a">'
    light, dark = map(html.unescape, re.findall('srcdoc="([^"]*)"', make_screenshots.halves(page)))
    assert light == page.replace('loading="lazy" ', '')
    assert dark == light.replace(' and (prefers-color-scheme: dark)', '')


def test_pictures_are_small() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    assert len(make_screenshots.small_png(Image.fromarray(noise))) < noise.size / 2
    for name in ('report.png', 'terminal.svg'):
        assert 5_000 < (DOCS / name).stat().st_size < 150 * 1024
    with Image.open(DOCS / 'report.png') as picture:
        assert picture.size == (make_screenshots.WIDTH, make_screenshots.HEIGHT)
    assert 'must be at least 1' in texts((DOCS / 'terminal.svg').read_text())
