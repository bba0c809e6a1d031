"""Mask secrets before anything is stored: the userinfo of URLs, and the values of keys named like secrets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

MASK = '***'

_NAMES = (
    r'(?:[\w.\-]*[_.\-])?(?:token|secret|password|passwd|api_?key|access_?key|private_?key|secret_?key|key(?=\s*=))'
)

#: Keys whose values are masked: `key`, or any that end in one of the names, for example `wandb_api_key`.
_KEY = re.compile(rf'{_NAMES}|key', re.IGNORECASE)

#: `scheme://user:password@host`.
_USERINFO = re.compile(r'(\b[a-z][a-z0-9+.\-]*://)[^\s/?#\'"]+@', re.IGNORECASE)

#: `token=abc` and `token: abc` within a text, also after `?` or `&` in a URL, with or without quotes.
_ASSIGNED = re.compile(
    rf'(?<![\w.\-])({_NAMES}["\']?\s*[=:]\s*)(?!//)("[^"]*"|\'[^\']*\'|[^\s&,}}\]\'"#]+)', re.IGNORECASE
)

#: Tokens of services, recognised by their prefixes.
_TOKEN = re.compile(r'\b(?:gh[opsu]|github_pat|glpat|hf|sk|xox[bp])[_\-][\w\-]{16,}')


def masked(value: Any) -> Any:
    """Return nested values with secrets masked; true, false and null are not secrets."""
    if isinstance(value, dict):
        return {name: MASK if _is_secret(name, inner) else masked(inner) for name, inner in value.items()}
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
        is_secret = word.startswith('-') and bool(_KEY.fullmatch(flag.lstrip('-').rpartition('.')[2]))
        if secret_follows and not word.startswith('-'):
            result.append(MASK)
        else:
            result.append(f'{flag}={MASK}' if is_secret and value else masked_text(word))
        secret_follows = is_secret and not equals
    return result


def masked_yaml(text: str) -> str:
    """Return the text of a YAML mapping with secrets masked; unchanged if it has none."""
    values = yaml.safe_load(text)
    clean = masked(values)
    return text if clean == values else yaml.safe_dump(clean, sort_keys=False)


def _is_secret(name: Any, value: Any) -> bool:
    """Return whether the value of a key is a secret."""
    return isinstance(value, (str, int, float)) and not isinstance(value, bool) and bool(_KEY.fullmatch(str(name)))
