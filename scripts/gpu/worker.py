"""The process that runs sections: `python -m gpu.worker LAB ANSWERS`, started by the supervisor."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gpu.results import Row

#: A section: yields its rows. The argument is what follows the colon in its name, or nothing.
Run = Callable[[str], Iterator[Row]]


def serve(sections: Mapping[str, Run], answers: int) -> None:
    """Run each section named on standard input and write its rows.

    Args:
        sections: by name.
        answers: a file descriptor for the answers, see `gpu.supervisor`.
    """
    with os.fdopen(answers, 'w', buffering=1) as output:
        output.write(json.dumps({'ready': None}) + '\n')
        for line in sys.stdin:
            name, _, argument = line.strip().partition(':')
            print(f'--- {line.strip()}', flush=True)
            output.write(json.dumps(_last_answer(sections[name], argument, output.write)) + '\n')


def _last_answer(run: Run, argument: str, write: Callable[[str], Any]) -> dict[str, Any]:
    """Run a section, write its rows, and return the answer that ends it."""
    try:
        for row in run(argument):
            write(json.dumps({'row': row}) + '\n')
    except Exception as error:
        traceback.print_exc()
        return {'failed': f'{type(error).__name__}: {error}'.splitlines()[0]}
    return {'done': None}


def main() -> None:
    """Serve the sections of the check."""
    from gpu.lab import Lab
    from gpu.sections import sections

    lab, answers = sys.argv[1:]
    serve(sections(Lab(**json.loads(lab))), int(answers))


if __name__ == '__main__':
    main()
