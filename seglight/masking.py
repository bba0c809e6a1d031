"""Mask secrets before anything is stored: the userinfo of URLs, and the values of keys named like secrets."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import yaml

MASK = '***'

#: How names of secrets end, in any spelling: `accessToken`, `access_token`, `hf-token`.
_ENDS = r'token|secret|password|passwd|passphrase|credential|authorization|(?:api|access|private|secret)[_\-]?key'

#: Several: `api_keys` and `tokens`, but not `keys`, which mmseg's transforms have.
_PLURALS = rf'[\w.\-]*(?:{_ENDS})s'
_KEYS = re.compile(_PLURALS, re.IGNORECASE)

_NAMES = rf'(?:[\w.\-]*(?:{_ENDS})|(?:[\w.\-]*[_.\-])?key(?=\s*=))'

#: Keys whose values are masked: `key`, or any that end in one of the names, for example `wandb_api_key`.
_KEY = re.compile(rf'{_NAMES}|key', re.IGNORECASE)

#: `scheme://user:password@host`; a password may have the letters that end a host.
_USERINFO = re.compile(r'(\b[a-z][a-z0-9+.\-]*://)(?:[^\s/?#\'":]*:[^\s\'"]*|[^\s/?#\'"]+)@', re.IGNORECASE)

#: `token=abc`, `token: abc` and `tokens: [a, b]` within a text, also after `?` or `&` in a URL, with or without quotes.
_ASSIGNED = re.compile(
    rf'(?<![\w.\-])((?:{_NAMES}|{_PLURALS}(?!["\']?\s*[=:]\s*\d+\b))["\']?\s*[=:]\s*)'
    r'(?!//)(\[[^\]]*\]|"[^"]*"|\'[^\']*\'|(?:bearer |basic )?[^\s&,}\]\'"#]+)',
    re.IGNORECASE,
)

#: Tokens of services, recognised by their prefixes.
_TOKEN = re.compile(r'\b(?:gh[opsu]|github_pat|glpat|hf|sk|xox[bp])[_\-][\w\-]{16,}')


def masked(value: Any) -> Any:
    """Return nested values with secrets masked; true, false and null are not secrets."""
    if isinstance(value, dict):
        return {name: _masked_value(name, inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(masked(inner) for inner in value)
    return masked_text(value) if isinstance(value, str) else value


def masked_text(text: str) -> str:
    """Return a text with masked secrets: in URLs, in assignments, and tokens of well-known services."""
    text = _USERINFO.sub(rf'\1{MASK}@', text)
    return _TOKEN.sub(MASK, _ASSIGNED.sub(rf'\1{MASK}', text))


def masked_command(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with secrets masked, also in the word after a flag."""
    result: list[str] = []
    secret_follows = False
    for word in words:
        flag, equals, value = word.partition('=')
        name = flag.lstrip('-').rpartition('.')[2]
        is_secret = word.startswith('-') and bool(_KEY.fullmatch(name))
        if secret_follows and not word.startswith('-'):
            result.append(MASK)
        else:
            result.append(f'{flag}={MASK}' if is_secret and value else masked_text(word))
        secret_follows = not equals and (is_secret or (word.startswith('-') and bool(_KEYS.fullmatch(name))))
    return result


@contextmanager
def masked_arguments() -> Iterator[None]:
    """Hide secrets in `sys.argv` from a library that stores it."""
    before = sys.argv
    sys.argv = masked_command(before)
    try:
        yield
    finally:
        sys.argv = before


def masked_yaml(text: str) -> str:
    """Return the text of a YAML mapping with secrets masked; unchanged if it has none."""
    values = yaml.load(text, getattr(yaml, 'CSafeLoader', yaml.SafeLoader))  # the same in a tenth of the time
    clean = masked(values)
    return text if clean == values else yaml.safe_dump(clean, sort_keys=False)


def _masked_value(name: Any, value: Any) -> Any:
    """Return the value of a key without secrets."""
    if _KEYS.fullmatch(str(name)):  # whose numbers are counts, such as of the tokens of a transformer
        return _masked_texts(value)
    if not _KEY.fullmatch(str(name)):
        return masked(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return MASK if is_number else _masked_texts(value)


def _masked_texts(value: Any) -> Any:
    """Return nested values with all texts masked."""
    if isinstance(value, dict):
        return {name: _masked_texts(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_masked_texts(inner) for inner in value)
    return MASK if isinstance(value, str) else value
