"""The HTML page of a search: what mattered, and all trials."""

from __future__ import annotations

import math
from pathlib import Path

from seglight.competition.searching.space import Range
from seglight.competition.searching.study import Study
from seglight.report import alternatives, plots
from seglight.report.page import EMPTY, Plot, write_values


def write_page(path: Path, study: Study, metric: str) -> Path:
    """Write the page of a search, and return its path.

    Args:
        path: the file.
        study: with its trials.
        metric: name of the metric that it optimises.
    """
    trials, best, importances = study.trials(), study.best(), study.importances()
    counts = {state: sum(each.state == state for each in trials) for state in ('complete', 'pruned', 'failed')}
    values = {
        **EMPTY,
        'title': f'Search {study.folder.name}',
        'heading': study.folder.name,
        'subtitle': f'{metric} on val of each trial; pruned trials ended early, since others were better by then.',
        'figures': [
            *([(f'best {metric}, {best.name}', f'{best.best:.4f}')] if best else []),
            *((state, str(count)) for state, count in counts.items()),
        ],
        'notes': [] if importances else ['Importances need two keys, and two complete trials with different values.'],
        'sections': [('What mattered', _importance_plots(importances)), ('Trials', _trial_plots(study, metric))],
        'tables': [('All trials', *study.table())],
    }
    return write_values(path, values)


def _importance_plots(importances: dict[str, float]) -> list[Plot]:
    if not importances:
        return []
    text = 'Share of the variance between complete trials that a key explains (fANOVA).'
    drawn = plots.bars_plot(importances, 'importance')
    return [Plot('Importance', drawn, alternatives.of_bars(importances, 'importance'), text)]


def _trial_plots(study: Study, metric: str) -> list[Plot]:
    """Return the curves of all trials, and the values over each range."""
    trials = [each for each in study.trials() if each.best is not None]
    if not trials:
        return []
    curves = {each.name: [point for point in each.values.items() if not math.isnan(point[1])] for each in trials}
    drawn = plots.curves_plot(curves, metric, axis=study.unit)
    shown = [Plot('Validations', drawn, alternatives.of_curves(curves, metric, axis=study.unit))]
    for key, each in study.space.items():
        if isinstance(each, Range):
            found = [(float(trial.words[key]), trial.best or 0.0, trial.state == 'complete') for trial in trials]
            drawn = plots.points_plot(found, key, metric, each.log)
            shown.append(Plot(key, drawn, alternatives.of_points(found, key, metric)))
    return shown
