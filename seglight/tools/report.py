"""Write an HTML page that reports a run, or one that compares several.

For one run, `report.html` in its folder: curves, classes, calibration, best and worst images, config.
For several, `compare_{names}.html` in the folder of the last: curves and classes side by side, and the
differences between the configs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seglight.errors import UsageError
from seglight.files import cache_dir
from seglight.report.run import find_run


def write_page(runs: Sequence[str | Path], images: Sequence[Path] = ()) -> Path:
    """Write the page and return its path.

    Args:
        runs: folders of runs: paths, or relative to `work_dirs`.
        images: folders whose images may be shown, besides the working folder and the embedded data set; an untrusted
            run could name any image.

    Raises:
        UsageError: if there is no such run, or the page cannot be written.
    """
    folders = [find_run(str(name)) for name in runs]
    try:
        from seglight.report.page import write_comparison, write_report  # late: matplotlib takes a second

        if len(folders) > 1:
            return write_comparison(folders)
        return write_report(folders[0], images=[Path(), cache_dir(), *images])
    except OSError as error:
        raise UsageError(f'report: cannot write the page to {folders[-1]}: {error.strerror}') from error
