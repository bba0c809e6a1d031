"""Compare the latencies of torch, torch.compile, onnxruntime and OpenVINO on the CPU, one image at a time.

    python scripts/bench/latency.py [--size 512] [--threads 2] [--rounds 20] [--any-size] [MODEL ...]

Prints a table of the models: milliseconds from the pixels of a random image to its logits, the median of the rounds. In
a round each candidate runs once, so that all of them meet the same machine. The files are for images of one size, or
with --any-size for any, as `seglight export` writes them. Weights are random, and batch norms have the statistics of
noise. A candidate that does not run has its error below the table.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from seglight import compat  # noqa: F401  (first: mmseg imports torchvision)

# isort: split
import torch
from export import CLASSES, OTHERS, metadata_of, settle, translations
from pairs import seconds_in_turn
from torch import Tensor

from seglight.config.mmseg.file import read_mmseg_config
from seglight.config.mmseg.zoo import find_zoo
from seglight.errors import one_line
from seglight.exporting.graph import Graph
from seglight.exporting.program import program_of
from seglight.exporting.sizes import padding_of
from seglight.memory import keep_freed_memory
from seglight.models import Segmentor
from seglight.models.pretrained import without_pretrained
from seglight.runtimes.opening import SUFFIXES, open_exported

#: Models of mmseg's zoo and of other libraries.
MODELS = (
    'fastscnn/fast_scnn_lr0.12_8x4_160k_cityscapes',
    'pspnet/pspnet_r18b-d8_512x1024_80k_cityscapes',
    'segformer/segformer_mit-b0_512x512_160k_ade20k',
    'timm vit_small_patch16_dinov3, UPerNet',
    'smp Unet',
)

#: The columns; the runtimes have those of their formats.
COLUMNS = {'torch': 'torch', 'compile': 'torch.compile', 'onnx': 'onnxruntime', 'openvino': 'OpenVINO'}

#: Seconds between two measurements: the threads of onnxruntime wait actively for a while.
PAUSE = 0.05

Call = Callable[[Tensor], Tensor]


def candidates(module: Segmentor, size: int, any_size: bool, folder: Path) -> Iterator[tuple[str, Call]]:
    """Yield the ways to run a model, each by its column."""
    padding = padding_of(module.segmentor)
    graph = Graph(module, padding)
    yield 'torch', graph
    yield 'compile', torch.compile(graph, dynamic=False)
    only = None if any_size else (size, size)
    metadata = metadata_of(module, padding, only)
    for kind, model in translations(program_of(graph, only)):
        if kind != 'torch':
            path = folder / f'model{SUFFIXES[kind]}'
            model.save(path, metadata)
            yield kind, open_exported(path, trust=True)


def compare(name: str, size: int, rounds: int, any_size: bool) -> tuple[list[str], list[str]]:
    """Return the cells of a model, and why some are missing."""
    torch.manual_seed(0)
    torch.compiler.reset()
    model = OTHERS.get(name) or without_pretrained(read_mmseg_config(find_zoo(name))['model'])
    module = Segmentor(model, CLASSES).eval()
    settle(module, (size, size))
    image = torch.randint(0, 256, (1, 3, size, size), dtype=torch.uint8)
    ways: dict[str, Callable[[], object]] = {}
    faults = []
    with TemporaryDirectory() as folder, torch.no_grad():
        expected = Graph(module, padding_of(module.segmentor))(image).argmax(1)
        try:
            for column, call in candidates(module, size, any_size, Path(folder)):
                equal = (call(image).argmax(1) == expected).float().mean()
                if equal < 0.999:
                    faults.append(f'{name}: {COLUMNS[column]}: only {equal:.2%} of the pixels are equal')
                ways[column] = partial(call, image)
        except Exception as error:  # compilers and exporters have many errors
            faults.append(f'{name}: {one_line(error)[:300]}')
        seconds = seconds_in_turn(ways, rounds, pause=PAUSE)
    parameters = sum(each.numel() for each in module.parameters()) / 1e6
    cells = [f'{1000 * statistics.median(seconds[each]):.1f}' if each in seconds else '-' for each in COLUMNS]
    return [name, f'{parameters:.1f}', *cells], faults


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('models', nargs='*', metavar='MODEL', help='of mmseg, or a name as in export.py')
    parser.add_argument('--size', type=int, default=512)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=20)
    parser.add_argument('--any-size', action='store_true', help='trace for any size, which takes minutes')
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    print(f'torch {torch.__version__}, {vars(options)}')
    print('| model | M parameters | ' + ' | '.join(COLUMNS.values()) + ' |\n|---|' + '---:|' * (len(COLUMNS) + 1))
    faults: list[str] = []
    for name in options.models or MODELS:
        cells, found = compare(name, options.size, options.rounds, options.any_size)
        print('| ' + ' | '.join(cells) + ' |', flush=True)
        faults += found
    print(*faults, sep='\n')


if __name__ == '__main__':
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        main()
