"""Check the opcodes of an untrusted pickle before torch unpickles it.

`torch.load(weights_only=True)` calls only functions that run no code, but some of them take any amount of memory:
`bytearray(10**11)` is a pickle of 50 bytes, and `_codecs.encode` can double a text again and again. This module parses
without building anything, and lets through only the names that files of weights contain. Of this project, it imports
only the errors.
"""

from __future__ import annotations

import pickletools
import re
from pathlib import Path
from typing import Any, BinaryIO

import torch

from seglight.errors import CheckpointError, printable

#: Limit of the opcodes; a large model's checkpoint has about 100,000, and each can take 200 bytes of memory.
MOST_OPCODES = 2_000_000

#: Module and name of everything that may be in a file of weights, besides dtypes.
_ALLOWED = re.compile(
    r'collections (OrderedDict|Counter)'
    r'|(builtins|__builtin__) (set|complex)'
    r'|torch\._utils _rebuild_(tensor|tensor_v2|tensor_v3|parameter|sparse_tensor|qtensor|meta_tensor_no_storage)'
    r'|torch\.nn\.parameter Parameter'
    r'|torch(\.cuda|\.storage)? \w+Storage'
    r'|torch (Size|device)'
    r'|torch\.serialization _get_layout'
    r'|numpy (dtype|ndarray)'
    r'|numpy\._?core\.multiarray (_reconstruct|scalar)'
)

#: Other names that torch allows; the rest is code.
_OF_TORCH = re.compile(r'torch\b.*|collections .*|(builtins|__builtin__|exceptions) bytearray')

#: The function that a pickle calls where it stores bytes, and the opcodes after it: a text, its encoding, the call.
_ENCODE = '_codecs encode'
_CALL = ('BINUNICODE', 'BINUNICODE', 'TUPLE2', 'REDUCE')
_ENCODINGS = ('latin1', 'latin-1')
_MOST_SHORT = 16
_SHORT, _OTHER_TEXT = 'a short text', 'another text'


def check_pickle(file: BinaryIO, path: Path) -> None:
    """Check the pickle at the position of a file, and leave the position after it.

    Args:
        file: the open file.
        path: its path, for the message.

    Raises:
        CheckpointError: if it is damaged, has too many opcodes, or contains a name that is not allowed.
    """
    scan = _Scan(path)
    try:
        for opcode, argument, _ in pickletools.genops(file):
            scan.see(opcode.name, argument)
    except (ValueError, EOFError, OverflowError, MemoryError, IndexError) as error:
        raise CheckpointError(f'{path} is not a checkpoint, or it is truncated or damaged') from error


class _Scan:
    """Follows the opcodes of a pickle, as far as it must to know what functions are called with.

    Bytes are encoded from a text of their own, and the last argument of a call, or a state, is no value of the memo:
    otherwise a few opcodes could copy a large value any number of times.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opcodes = 0
        self.pushed: Any = None  # the text or the function that the last opcode pushed
        self.recalled = False  # whether the last opcode pushed another value of the memo, or a tuple that ends with it
        self.memo: dict[int, Any] = {}  # the same for the places of the memo
        self.call: list[str] = []  # the opcodes that must follow
        self.encoded: str | None = None  # the kind of the text that is encoded

    def see(self, name: str, argument: Any) -> None:
        """Check an opcode."""
        self.opcodes += 1
        if self.opcodes > MOST_OPCODES:
            raise CheckpointError(f'{self.path} is refused: its pickle has more than {MOST_OPCODES:,} opcodes')
        if name in ('BINPUT', 'LONG_BINPUT'):
            self.memo[argument] = self.pushed
            return
        if self.recalled and name in ('REDUCE', 'NEWOBJ', 'BUILD'):
            raise CheckpointError(f'{self.path} is refused: it uses a value again as torch.save does not')
        self.recalled = self.recalled and name in ('TUPLE', 'TUPLE1', 'TUPLE2', 'TUPLE3')
        self.pushed = None
        if name in ('BINGET', 'LONG_BINGET'):
            self.pushed = self.memo.get(argument)
            self.recalled = self.pushed is None
            if self.pushed in _ENCODINGS:
                name = 'BINUNICODE'
        elif name == 'BINUNICODE':
            self.pushed = argument if argument in _ENCODINGS else _text(argument)
        elif name == 'GLOBAL':
            self._check_name(argument)
            self.pushed = argument if argument == _ENCODE else None
        if self.call:
            self._follow(name)
        elif self.pushed == _ENCODE:
            self.call = list(_CALL)

    def _follow(self, name: str) -> None:
        """Check an opcode after `_codecs.encode`."""
        expected = self.call.pop(0)
        if expected == 'BINUNICODE' and len(self.call) == len(_CALL) - 1:
            self.encoded = self.pushed
        encoding = self.pushed in _ENCODINGS or self.call[:1] != ['TUPLE2']
        if name != expected or not encoding:
            raise CheckpointError(f'{self.path} is refused: it does not store bytes as torch.save does')
        if not self.call:  # numpy uses short bytes again
            self.pushed = _SHORT if self.encoded == _SHORT else None

    def _check_name(self, name: str) -> None:
        """Reject a name of a module that is not allowed."""
        module, _, attribute = name.partition(' ')
        if name == _ENCODE or _ALLOWED.fullmatch(name):
            return
        if module == 'torch' and isinstance(getattr(torch, attribute, None), torch.dtype):
            return
        shown = printable(f'{module}.{attribute}')[:80]
        if _OF_TORCH.fullmatch(name):
            raise CheckpointError(f'{self.path} is refused: its pickle names {shown}, which no file of weights needs')
        raise CheckpointError(refusal(self.path, shown))


def _text(value: str) -> str:
    """Return what the memo remembers of a text."""
    return _SHORT if len(value) <= _MOST_SHORT else _OTHER_TEXT


def refusal(path: Path | str, name: str) -> str:
    """Return the message for a pickle that would run code."""
    return (
        f'{path} is refused: loading its {name} would execute code '
        '(for your own file, use fit --load-from with --trust-checkpoint)'
    )
