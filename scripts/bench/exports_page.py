"""Write docs/reference/exports.md from the CSVs next to it, which `export.py` and `latency.py` made.

python scripts/bench/exports_page.py
"""

from __future__ import annotations

from pathlib import Path

from model_rows import read

FOLDER = Path(__file__).parents[2] / 'docs' / 'reference'
EXPORTS, LATENCIES, PAGE = FOLDER / 'exports.csv', FOLDER / 'latencies.csv', FOLDER / 'exports.md'

#: The releases with which the CSV was made.
RELEASES = (
    'torch 2.13.0 (CPU), onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0,\nOpenVINO 2026.4.1, timm 1.0.31, '
    'transformers 5.24.0, segmentation_models_pytorch 0.6.0'
)

#: The runtimes: their columns in the CSV, and their titles.
RUNTIMES = {'torch': 'torch.export', 'onnx': 'ONNX', 'openvino': 'OpenVINO'}

#: What was timed: the columns in the CSV, and their titles.
CANDIDATES = {'torch': 'torch', 'compile': 'torch.compile', 'onnx': 'onnxruntime', 'openvino': 'OpenVINO'}

TEXT = """# Which models export

One model of each of mmseg's families, and some of timm, transformers and smp, in every format of
[`seglight export`](../how-to/export.md): {any} of {all} for images of any size, {limited} for images up to the size of
their position embeddings, {fixed} only for images of one size, {none} not at all.

{table}

- **images**: the sizes that the file takes, width before height: any, up to one, or that one alone. Models with a limit
  have it in their configs (`img_size` in mmseg, `image_size` in transformers); 64 pixels keep this table fast.
- **equal pixels** of the file and the segmentor, by the files' own runtimes, on the random images of the proof: 24x31,
  97x130 and 144x75 pixels (height before width), alone and in pairs; within a limit, where there is one.
- **MB** of the files, with the few layers that the models have here.

The models of mmseg's zoo are those with the fewest parameters of their family, with fewer layers; the others are named
in `scripts/bench/export.py`. All have random weights, and batch norms with the statistics of noise.
Releases: {releases}.

K-Net takes images of any size, too, but with random weights misses 99.99 % by the
[rounding of float32](../how-to/export.md#the-proof); at one size it does not.

{latency}
The table of exports is [a CSV](exports.csv), too. `scripts/bench/export.py exports.csv` makes it anew, and
`scripts/bench/exports_page.py` this page from both.
"""

NO_LATENCIES = """\
There are no latencies here. They mean something only on a machine that does nothing else; this table was made on a busy
one. `scripts/bench/latency.py` measures torch, torch.compile, onnxruntime and OpenVINO in turn on yours, and
`seglight benchmark` does so for your own files.
"""

LATENCIES_TEXT = """\
## Latency

Milliseconds from the pixels of an image of 512x512 to its logits, on two cores of a Xeon with AVX-512 and otherwise
quiet, for {measured} of these models. Those of mmseg, timm and smp have all their layers here, those of transformers as
many as above. The medians are those of five rounds, in which the candidates took turns; the files are for images of
that size, and memory of freed tensors is kept, as `seglight` does. Masks that agree with torch's in less than 99.9 % of
the pixels are named in the last column.

ResNeSt with these random weights amplifies rounding: some of its batch norms see a variance of 5e-10 in the noise. In
torch, noise of 1e-6 in the normalised pixels or float64 changes its logits by 60 to 75 %, too, so that the masks say
nothing about the formats. The table above has it with fewer layers, where all agree.

{latencies}

Compare the columns of a row. Which is fastest depends on the processor: `scripts/bench/latency.py` measures these
models on yours, and `seglight benchmark` your own checkpoints and files.

This table is [a CSV](latencies.csv), too.
"""


def table(rows: list[dict[str, str]]) -> str:
    """Return the table of the exports in Markdown."""
    titles = ['family', 'model', 'images', *(part for title in RUNTIMES.values() for part in (title, 'MB')), 'why not']
    lines = [titles, ['---', '---', '---', *['---:'] * 2 * len(RUNTIMES), '---']]
    for row in in_order(rows):
        shares = [row[name] or '-' for each in RUNTIMES for name in (each, f'{each}_mb')]
        lines.append([row['family'], short(row['model']), row['images'] or '-', *shares, escaped(row['reason'])])
    return markdown(lines)


def latency_table(rows: list[dict[str, str]]) -> str:
    """Return the table of the latencies in Markdown."""
    lines = [['family', 'model', 'M parameters', *CANDIDATES.values(), 'why not']]
    lines.append(['---', '---', *['---:'] * (1 + len(CANDIDATES)), '---'])
    for row in in_order(rows):
        numbers = [row[each] or '-' for each in ('million_parameters', *CANDIDATES)]
        lines.append([row['family'], short(row['model']), *numbers, escaped(row['reason'])])
    return markdown(lines)


def in_order(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return mmseg's families first, each kind in alphabetical order."""
    return sorted(rows, key=lambda row: (not row['model'], row['family']))


def short(model: str) -> str:
    """Return the name of a config of the zoo without its folder."""
    return f'`{model.rpartition("/")[2]}`' if model else ''


def escaped(reason: str) -> str:
    """Return a reason as a cell of a table."""
    return reason.replace('|', '\\|')


def markdown(lines: list[list[str]]) -> str:
    """Return a table, given its cells."""
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def page(rows: list[dict[str, str]], latencies: list[dict[str, str]]) -> str:
    """Return the page."""
    images = [row['images'] for row in rows]
    counts = {
        'all': len(rows),
        'any': images.count('any'),
        'limited': sum(each.startswith('up to') for each in images),
        'fixed': sum(each[:1].isdigit() for each in images),
        'none': images.count(''),
    }
    text = LATENCIES_TEXT if latencies else NO_LATENCIES
    latency = text.format(latencies=latency_table(latencies), measured=len(latencies))
    return TEXT.format(table=table(rows), latency=latency, releases=RELEASES, **counts)


if __name__ == '__main__':
    PAGE.write_text(page(read(EXPORTS), read(LATENCIES)))
