"""Draw the terminal at the end of a run, and its report, for the documentation.

    python scripts/make_screenshots.py work_dirs/exp1 docs

It writes terminal.svg and report.png to the folder. The report is shown by Chromium.
"""

from __future__ import annotations

import html
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

from seglight import styles
from seglight.callbacks.console import metrics_table
from seglight.console import labelled
from seglight.report.evaluation import Evaluation, mean_known
from seglight.report.run import read_run
from seglight.terminal import Span

WIDTH, HEIGHT = 1000, 1150  #: of the part of the report that is shown, in pixels
COLUMNS = 92  #: of the terminal
COLOURS = 128  #: of the picture of the report, which keeps it small

#: Rich's frame of a terminal without the fonts that it loads from the network.
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def terminal_svg(commands: Sequence[tuple[str, Iterable[Span]]]) -> str:
    """Return a picture of a terminal in which commands were typed.

    Args:
        commands: each with the parts of what it printed.
    """
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False)
    for command, spans in commands:
        console.print(Text.assemble(('$ ', 'bold green'), command))
        console.print(Text.assemble(*spans))
        console.print()
    return console.export_svg(title='seglight', code_format=FRAME, unique_id='terminal')


def last_lines(evaluation: Evaluation, folder: str, checkpoint: str) -> str:
    """Return the last lines that a run prints, from the evaluation that its folder has."""
    pairs = zip(evaluation.classes, evaluation.iou.tolist(), strict=True)
    metrics = {f'val/IoU.{name}': iou for name, iou in pairs} | {'val/mIoU': evaluation.miou}
    metrics['val/mAcc'] = mean_known(evaluation.accuracy)
    metrics['val/aAcc'] = float(evaluation.confusion.diagonal().sum() / evaluation.confusion.sum())
    return '\n'.join(
        [
            metrics_table(metrics, 'val'),
            labelled('Run', folder),
            f'Best mIoU  {100 * evaluation.miou:.2f} %  ({checkpoint})',
            labelled('Predict', f'seglight predict --ckpt {folder}/{checkpoint} --overlays'),
            labelled('Report', f'{folder}/report.html'),
        ]
    )


def halves(page: str) -> str:
    """Return a page that shows the top of a report in light and in dark colours, side by side."""
    plain = page.replace('loading="lazy" ', '')
    dark = plain.replace('screen and (prefers-color-scheme: dark)', 'screen')
    frames = ''.join(
        f'<iframe scrolling="no" style="width: {WIDTH // 2}px; height: {HEIGHT}px; border: 0" '
        f'srcdoc="{html.escape(one)}"></iframe>'
        for one in (plain, dark)
    )
    return f'<body style="margin: 0; display: flex">{frames}</body>'


def small_png(picture: Image.Image) -> bytes:
    """Return a picture as PNG with few colours."""
    buffer = io.BytesIO()
    picture.convert('RGB').quantize(COLOURS).save(buffer, format='PNG', optimize=True)
    return buffer.getvalue()


def report_png(page: str) -> bytes:
    """Return a picture of a report's top, made by Chromium."""
    chromium = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    if chromium is None:
        sys.exit('Chromium is not installed')
    with tempfile.TemporaryDirectory() as folder:
        shown, shot = Path(folder, 'shown.html'), Path(folder, 'shot.png')
        shown.write_text(halves(page))
        options = ['--headless', '--no-sandbox', '--hide-scrollbars', f'--user-data-dir={folder}/profile']
        size = [f'--window-size={WIDTH},{HEIGHT}', f'--screenshot={shot}']
        subprocess.run([chromium, *options, *size, shown.as_uri()], check=True, capture_output=True)
        with Image.open(shot) as picture:
            return small_png(picture)


def main(run: Path, output: Path) -> None:
    """Write both pictures."""
    evaluation = read_run(run).evaluation
    if evaluation is None:
        sys.exit(f'{run} has no evaluation')
    checkpoint = f'best_mIoU_epoch_{evaluation.epoch}.ckpt'
    ended = styles.of_lines(last_lines(evaluation, f'work_dirs/{run.resolve().name}', checkpoint))
    refused = styles.of_error('--data.batch_size=0: data.batch_size must be at least 1, got 0')
    commands = [
        ('seglight fit --config demo.yaml', ended),
        ('seglight fit --config demo.yaml --data.batch_size=0', refused),
    ]
    (output / 'terminal.svg').write_text(terminal_svg(commands), encoding='utf-8')
    (output / 'report.png').write_bytes(report_png((run / 'report.html').read_text(encoding='utf-8')))


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
