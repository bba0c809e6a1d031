"""Compare training in images per second: mmcv's Runner, seglight and a bare loop over one batch in memory.

python scripts/bench/throughput.py --root DATA [--model fast_scnn] [--rounds 3] [--steps 14]

DATA holds img_dir/train, img_dir/val, ann_dir/train and ann_dir/val of CamVid. The bare loop is the
limit that the model itself sets on this machine. On a GPU, --mixed trains in float16, and the memory
that each side took is printed too.

Each candidate runs in a process of its own, since seglight's command line changes glibc's settings for a whole
process; the bare loop runs with and without them. mmcv's Runner trains with mmseg's own losses. A round runs all
candidates, one after the other, and the ratios are those within a round. Processor time and page faults are those of
a step, with the loader's processes.
"""

from __future__ import annotations

import argparse
import gc
import resource
import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from pairs import process, ratios
from sides import Clock, Task, bare_loop, mmcv_runner, mmsegs_own, quieten, seglight_trainer

MODELS = {
    'fast_scnn': 'fastscnn/fast_scnn_lr0.12_8x4_160k_cityscapes.py',
    'segformer_b0': 'segformer/segformer_mit-b0_512x512_160k_ade20k.py',
    'segformer_b2': 'segformer/segformer_mit-b2_512x512_160k_ade20k.py',
    'pspnet_r50': 'pspnet/pspnet_r50-d8_512x512_160k_ade20k.py',
}

#: The candidates, and whether their processes keep freed memory.
CANDIDATES = {
    "mmcv's Runner": False,
    'bare loop': False,
    'bare loop, memory kept': True,
    'seglight': True,
    'seglight, contiguous': True,
}


@dataclass
class Round:
    """What a candidate needed in a round."""

    rate: float  #: images per second
    user: float  #: seconds of processor time in a step
    system: float  #: the same, in the kernel
    faults: float  #: pages that the system provided in a step
    memory: int  #: peak on the GPU, in bytes


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
    parser.add_argument('--only', nargs='+', choices=CANDIDATES, default=list(CANDIDATES), help='the candidates')
    parser.add_argument('--mixed', action='store_true', help='float16 mixed precision, on a GPU')
    parser.add_argument('--compile', action='store_true', help="seglight's option of that name")
    options = vars(parser.parse_args())
    steps, warmup, rounds, names = (options.pop(name) for name in ('steps', 'warmup', 'rounds', 'only'))
    task = Task(**{**options, 'model': MODELS[options['model']], 'root': str(Path(options['root']).resolve())})
    results = contest(task, names, steps, warmup, rounds)
    print(f'{parser.prog}: {vars(task)}, torch {torch.__version__}, {torch.get_num_threads()} threads')
    base = [each.rate for each in results[names[0]]]
    print(f'| | images/s | x {names[0]}, within a round | user s | system s | page faults |')
    print('|---|---:|---:|---:|---:|---:|')
    for name, measured in results.items():
        rates = [each.rate for each in measured]
        user, system = (statistics.median(getattr(each, kind) for each in measured) for kind in ('user', 'system'))
        faults = statistics.median(each.faults for each in measured)
        memory = f' {max(each.memory for each in measured) / 2**30:.2f} GiB |' if torch.cuda.is_available() else ''
        speed = f'{statistics.median(rates):.2f} | {ratios(rates, base)}'
        print(f'| {name} | {speed} | {user:.2f} | {system:.2f} | {faults:,.0f} |{memory}')


def contest(task: Task, names: list[str], steps: int, warmup: int, rounds: int) -> dict[str, list[Round]]:
    """Return what each candidate needed in each round."""
    pools = {name: process(CANDIDATES[name], quieten) for name in names}
    results: dict[str, list[Round]] = {name: [] for name in names}
    for started in [pool.submit(gc.collect) for pool in pools.values()]:
        started.result()
    for _ in range(rounds):
        for name, pool in pools.items():
            results[name].append(pool.submit(run_round, name, task, steps, warmup).result())
    for pool in pools.values():
        pool.shutdown()
    return results


def run_round(name: str, task: Task, steps: int, warmup: int) -> Round:
    """Train for some steps, and return what they needed."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    user, system, faults = _usage()
    with tempfile.TemporaryDirectory() as folder:
        rate = _train(name, task, folder, steps).rate(task.batch_size, warmup)
    gc.collect()  # ends the loader's processes, which count once they have ended
    used = [(after - before) / steps for after, before in zip(_usage(), (user, system, faults), strict=True)]
    return Round(
        rate, used[0], used[1], round(used[2]), torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    )


def _train(name: str, task: Task, folder: str, steps: int) -> Clock:
    if name.startswith('bare loop'):
        return bare_loop(task, steps)
    clock = Clock([], task.device)
    if name.startswith('seglight'):
        task = replace(task, channels_last=False if name.endswith('contiguous') else None)
        seglight_trainer(task, clock, folder, [], max_steps=steps, limit_val_batches=0)()
    else:
        with mmsegs_own():
            mmcv_runner(task, clock, folder, [], max_iters=steps)()
    return clock


def _usage() -> tuple[float, float, int]:
    """Return user seconds, system seconds and minor page faults of this process and those that it started."""
    kinds = [resource.getrusage(kind) for kind in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime for u in kinds), sum(u.ru_stime for u in kinds), sum(u.ru_minflt for u in kinds)


if __name__ == '__main__':
    main()
