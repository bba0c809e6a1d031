"""What a check found, as JSON and as Markdown tables."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from seglight.files import write_atomically

Value = str | float | int | bool | None
Row = dict[str, Value]

#: The column that holds whether a required result is right, and the one that holds whether a goal of speed is met.
RIGHT, GOAL = 'right', 'goal met'


@dataclass
class Section:
    """The results of a section."""

    name: str
    title: str
    status: str = 'waiting'  #: then `running`, `done`, `failed`, `out of time`, `stopped` or `skipped`
    seconds: float = 0.0
    error: str | None = None  #: one line
    rows: list[Row] = field(default_factory=list)

    @property
    def is_wrong(self) -> bool:
        """Whether the section failed or a required result is wrong; running out of time is neither."""
        return self.status == 'failed' or any(row.get(RIGHT) is False for row in self.rows)


@dataclass
class Results:
    """The results of all sections, written to a folder after each change."""

    folder: Path
    sections: list[Section]
    settings: Row = field(default_factory=dict)

    def write(self) -> None:
        """Write `gpu_check.json` and `gpu_check.md`."""
        content = {'settings': self.settings, 'sections': [asdict(section) for section in self.sections]}
        write_atomically(self.folder / 'gpu_check.json', (json.dumps(content, indent=2) + '\n').encode())
        write_atomically(self.folder / 'gpu_check.md', self.markdown().encode())

    def markdown(self) -> str:
        """Return an overview, and a table for each section with results."""
        overview: list[Row] = [
            {
                'section': section.title,
                'status': section.status,
                'seconds': round(section.seconds, 1),
                'right': _share(section, RIGHT),
                'goals met': _share(section, GOAL),
            }
            for section in self.sections
        ]
        parts = ['# GPU check', ', '.join(f'{key}: {text(value)}' for key, value in self.settings.items())]
        parts.append(table(overview))
        for section in self.sections:
            if section.rows or section.error:
                parts.append(f'## {section.title}')
            if section.error:
                parts.append(f'{section.status}: {section.error}')
            if section.rows:
                parts.append(table(section.rows))
        return '\n\n'.join(parts) + '\n'


def table(rows: list[Row]) -> str:
    """Return rows as a Markdown table; the columns are the keys in order of appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ['---'] * len(columns)]
    lines += [[_cell(row.get(column), column) for column in columns] for row in rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _cell(value: Value, column: str) -> str:
    return '**no**' if value is False and column in (RIGHT, GOAL) else text(value)


def text(value: Value) -> str:
    """Return a value in words: floats with three significant digits, nothing for None."""
    if value is None:
        return ''
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, float):
        return f'{value:.0f}' if abs(value) >= 100 else f'{value:.3g}'
    return ' '.join(str(value).split()).replace('|', '\\|')


def _share(section: Section, column: str) -> str:
    """Return for example `7 of 8`; nothing if no row has the column."""
    values = [row[column] for row in section.rows if isinstance(row.get(column), bool)]
    return f'{sum(map(bool, values))} of {len(values)}' if values else ''
