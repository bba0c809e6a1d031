"""Compare the latencies of torch, torch.compile, onnxruntime and OpenVINO on the CPU, one image at a time.

python scripts/bench/latency.py latencies.csv [--models swin unet] [--size 512] [--threads 2] [--rounds 5]

The models are those of `export.py` with all their layers, random weights, and batch norms with the statistics of noise.
Appends a line for each to the CSV: milliseconds from the pixels of a random image to its logits, the median of the
rounds. In a round each candidate runs once, so that all of them meet the same machine. The files are for images of one
size. Every model has a process of its own; models that the CSV has are not measured again. `exports_page.py` writes a
page of the CSV.
"""

from __future__ import annotations

import argparse
import logging
import resource
import statistics
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from seglight import compat  # noqa: F401  (first: mmseg imports torchvision)

# isort: split
import model_rows
import torch
from export import CLASSES, OTHERS, alone, metadata_of, model_dict, settle, smallest, translations
from pairs import seconds_in_turn
from torch import Tensor

from seglight.errors import one_line
from seglight.exporting.graph import Graph
from seglight.exporting.program import program_of
from seglight.exporting.sizes import padding_of
from seglight.memory import keep_freed_memory
from seglight.models import Segmentor
from seglight.runtimes.opening import SUFFIXES, open_exported

#: The candidates; the runtimes have the names of their formats.
WAYS = ('torch', 'compile', 'onnx', 'openvino')

#: Seconds between two measurements: the threads of onnxruntime wait actively for a while.
PAUSE = 0.05

Call = Callable[[Tensor], Tensor]


def candidates(module: Segmentor, size: int, folder: Path) -> Iterator[tuple[str, Call]]:
    """Yield the ways to run a model, each by its name."""
    padding = padding_of(module.segmentor)
    graph = Graph(module, padding)
    yield 'torch', graph
    yield 'compile', torch.compile(graph, dynamic=False)
    metadata = metadata_of(module, padding, (size, size))
    for kind, model in translations(program_of(graph, (size, size))):
        if kind != 'torch':
            path = folder / f'model{SUFFIXES[kind]}'
            model.save(path, metadata)
            yield kind, open_exported(path, trust=True)


def measure(family: str, name: str, size: int, threads: int, rounds: int, memory: int) -> dict[str, str]:
    """Return the line of a model, measured in this process, which ends afterwards."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory << 30, memory << 30))
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)
    torch.set_num_threads(threads)
    keep_freed_memory()
    torch.manual_seed(0)
    module = Segmentor(model_dict(family, name, size), CLASSES).eval()
    settle(module, (size, size))
    image = torch.randint(0, 256, (1, 3, size, size), dtype=torch.uint8)
    calls: dict[str, Callable[[], object]] = {}
    reasons = []
    with TemporaryDirectory() as folder, torch.no_grad():
        expected = Graph(module, padding_of(module.segmentor))(image).argmax(1)
        try:
            for way, call in candidates(module, size, Path(folder)):
                equal = (call(image).argmax(1) == expected).float().mean()
                if equal < 0.999:
                    reasons.append(f'{way}: {equal:.2%} of the pixels are equal')
                calls[way] = partial(call, image)
        except Exception as error:  # compilers and exporters have many errors
            reasons.append(one_line(error)[:200])
        seconds = seconds_in_turn(calls, rounds, pause=PAUSE)
    millions = sum(each.numel() for each in module.parameters()) / 1e6
    medians = {way: f'{1000 * statistics.median(seconds[way]):.0f}' if way in seconds else '' for way in WAYS}
    return row(family, name, f'{millions:.1f}', medians, '; '.join(reasons))


def row(family: str, name: str, millions: str, medians: dict[str, str], reason: str) -> dict[str, str]:
    """Return a line of the CSV."""
    return {'family': family, 'model': name, 'million_parameters': millions, **medians, 'reason': reason}


def main() -> None:
    """Measure the models, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('csv', type=Path)
    models = {**smallest(), **dict.fromkeys(OTHERS, '')}
    parser.add_argument('--models', choices=models, metavar='FAMILY', nargs='+', default=list(models))
    parser.add_argument('--size', type=int, default=512)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--memory', type=int, default=16, help='GiB of a process')
    options = parser.parse_args()
    print(f'torch {torch.__version__}, {vars(options)}')
    done = {each['family'] for each in model_rows.read(options.csv)}
    for family in options.models:
        if family not in done:
            settings = (options.size, options.threads, options.rounds, options.memory)
            try:
                line = alone(measure, family, models[family], *settings)
            except Exception as error:  # of the process, or of the model
                line = row(family, models[family], '', dict.fromkeys(WAYS, ''), one_line(error)[:200])
            model_rows.append(options.csv, line)
            print(*line.values(), sep=' | ', flush=True)


if __name__ == '__main__':
    main()
