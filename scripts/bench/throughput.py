"""Compare training in images per second: mmcv's Runner, seglight and a bare loop over one batch in memory.

python scripts/bench/throughput.py --root DATA [--model fast_scnn] [--rounds 3] [--steps 14]

DATA holds img_dir/train, img_dir/val, ann_dir/train and ann_dir/val of CamVid. The bare loop is the
limit that the model itself sets on this machine. On a GPU, --mixed trains in float16, and the memory
that each side took is printed too.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from sides import Clock, Task, bare_loop, mmcv_runner, quieten, seglight_trainer

MODELS = {
    'fast_scnn': 'fastscnn/fast_scnn_lr0.12_8x4_160k_cityscapes.py',
    'segformer_b0': 'segformer/segformer_mit-b0_512x512_160k_ade20k.py',
    'segformer_b2': 'segformer/segformer_mit-b2_512x512_160k_ade20k.py',
    'pspnet_r50': 'pspnet/pspnet_r50-d8_512x512_160k_ade20k.py',
}


def main() -> None:
    """Run the candidates alternately and print their speeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--root', required=True)
    parser.add_argument('--model', choices=MODELS, default='fast_scnn')
    parser.add_argument('--crop', type=int, default=512)
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--steps', type=int, default=14, help='steps of each candidate in a round')
    parser.add_argument('--warmup', type=int, default=4, help='first steps of each round to ignore')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--mixed', action='store_true', help='float16 mixed precision, on a GPU')
    parser.add_argument('--channels-last', action='store_true', help="seglight's option of that name")
    parser.add_argument('--compile', action='store_true', help="seglight's option of that name")
    options = vars(parser.parse_args())
    steps, warmup, rounds = (options.pop(name) for name in ('steps', 'warmup', 'rounds'))
    task = Task(**{**options, 'model': MODELS[options['model']], 'root': str(Path(options['root']).resolve())})
    quieten()
    with tempfile.TemporaryDirectory() as folder:
        results = contest(task, folder, steps, warmup, rounds)
    print(f'{parser.prog}: {vars(task)}, torch {torch.__version__}, {torch.get_num_threads()} threads')
    limit = statistics.median(rate for rate, _ in results['bare loop'])
    theirs = statistics.median(rate for rate, _ in results["mmcv's Runner"])
    for name, measured in results.items():
        rate = statistics.median(rate for rate, _ in measured)
        memory = f'   {max(each for _, each in measured) / 2**30:.2f} GiB' if torch.cuda.is_available() else ''
        spread = ', '.join(f'{rate:.2f}' for rate, _ in measured)
        ratios = f'{rate / limit:.2f} of the limit   {rate / theirs:.2f} x mmcv'
        print(f'{name:<14} {rate:6.2f} images/s   {ratios}{memory}   ({spread})')


def contest(task: Task, folder: str, steps: int, warmup: int, rounds: int) -> dict[str, list[tuple[float, int]]]:
    """Return images/s and bytes of GPU memory of each candidate in each round."""

    def bare() -> Clock:
        return bare_loop(task, steps)

    def runner() -> Clock:
        clock = Clock([], task.device)
        mmcv_runner(task, clock, folder, [], max_iters=steps)()
        return clock

    def seglight() -> Clock:
        clock = Clock([], task.device)
        seglight_trainer(task, clock, folder, [], max_steps=steps, limit_val_batches=0)()
        return clock

    candidates: dict[str, Callable[[], Clock]] = {'bare loop': bare, "mmcv's Runner": runner, 'seglight': seglight}
    results: dict[str, list[tuple[float, int]]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            rate = run().rate(task.batch_size, warmup)
            results[name].append((rate, torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0))
    return results


if __name__ == '__main__':
    main()
