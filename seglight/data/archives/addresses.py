"""Which addresses of archives a config may name."""

from __future__ import annotations

import re
from urllib.parse import unquote

from seglight.errors import UsageError

#: The protocols that are allowed, and the package that fsspec needs for each.
PROTOCOLS = {
    's3': 's3fs',
    'gs': 'gcsfs',
    'hf': 'huggingface_hub',
    'https': "'seglight[remote]'",
    'http': "'seglight[remote]'",
}

_ADDRESS = re.compile(r'[A-Za-z][A-Za-z0-9+.-]*://')
_IPV6 = re.compile(r'^\[[0-9A-Fa-f:.]+\](?=[:/]|$)')
_QUERY, _USER = re.compile(r'\?\S*'), re.compile(r'://[^/\s@]*@')


def is_address(text: str) -> bool:
    """Return whether a text is an address, and not a path."""
    return '://' in text


def check_address(address: str) -> None:
    """Check an address from a config, before anything opens, logs or saves it.

    Raises:
        UsageError: if its protocol is not allowed, or it contains credentials; the error does not repeat them.
    """
    found = _ADDRESS.match(address)
    protocol = found.group().removesuffix('://').lower() if found else ''
    known = ', '.join(f'{each}://' for each in PROTOCOLS)
    if protocol not in PROTOCOLS or not address.startswith(f'{protocol}://') or address.count('://') > 1:
        raise UsageError(f'an address must begin with one of {known}, got {without_secrets(address)[:200]}')
    rest = address.removeprefix(f'{protocol}://')
    if '@' in rest.partition('/')[0] or re.search(r'[?#]', rest):
        cure = 'put credentials into ~/.netrc or the environment'
        raise UsageError(f'an address must not contain a user, a password or a query; {cure}')
    if '::' in _IPV6.sub('', rest):  # fsspec joins addresses with it
        raise UsageError(f"an address must not contain '::', got {address[:200]}")
    plain = unquote(rest)
    parts = plain.removesuffix('/').split('/')
    if '' in parts or '.' in parts or '..' in parts or not plain.isprintable():
        raise UsageError(f"an address must have no empty part, '.' or '..', got {address[:200]}")


def without_secrets(text: str) -> str:
    """Return a text without the users and queries of the addresses in it, which may be credentials."""
    return _QUERY.sub('', _USER.sub('://', text))
