"""Watch how much memory a command of seglight holds while it runs.

    python scripts/bench/resident_size.py fit --config demo.yaml --trainer.max_steps=500
    python scripts/bench/resident_size.py predict --ckpt exp1 --input photos/

Prints the resident size of the command's process and the private memory of those that it started, at ten points of
its time. Memory that grows with the steps or the images shows as a line that does not level off.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

EVERY = 0.5  #: seconds between two samples
POINTS = 10


def main(arguments: list[str]) -> int:
    """Run the command, print the sizes, and return its exit status."""
    start, samples = time.monotonic(), []
    with subprocess.Popen([sys.executable, '-m', 'seglight', *arguments], stdout=sys.stderr) as process:
        while process.poll() is None:
            samples.append((time.monotonic() - start, status(process.pid, 'VmRSS') / 1024, _children(process.pid)))
            time.sleep(EVERY)
    print('| s | MiB | MiB of its processes |\n|---:|---:|---:|')
    for number in range(1, POINTS + 1):
        seconds, own, children = samples[number * (len(samples) - 1) // POINTS]
        print(f'| {seconds:.0f} | {own:.0f} | {children:.0f} |')
    return process.returncode


def status(pid: int, name: str) -> int:
    """Return a number in /proc/PID/status, sizes in KiB; 0 if the process has ended."""
    try:
        text = Path(f'/proc/{pid}/status').read_text()
    except OSError:
        return 0
    found = re.search(rf'^{name}:\s+(\d+)', text, re.MULTILINE)
    return int(found[1]) if found else 0


def _children(pid: int) -> float:
    """Return the private memory of all processes below one, in MiB."""
    parents = {int(path.name): status(int(path.name), 'PPid') for path in Path('/proc').glob('[0-9]*')}
    return sum(status(each, 'RssAnon') for each in parents if _is_below(each, pid, parents)) / 1024


def _is_below(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while (pid := parents.get(pid, 0)) > 1:
        if pid == ancestor:
            return True
    return False


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
