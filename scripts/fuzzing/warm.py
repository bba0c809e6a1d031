"""Prepare in the parent process what does not depend on the input, so that every fork finds it ready."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from pytorch_lightning.cli import LightningArgumentParser

from seglight.__main__ import run
from seglight.cli.command_line import CommandLine
from seglight.installation import requirements


def warm_up() -> None:
    """Check the installation and build the parsers once."""
    requirements.require()
    requirements.require = lambda: None
    _keep_parsers()


def _keep_parsers() -> None:
    """Build the parsers of the trainer's commands once; every command line would build its own, equal to these."""
    build = CommandLine._whole_parser
    kept: dict[str, tuple[LightningArgumentParser, list[str]]] = {}

    def whole_parser(self: CommandLine, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        if subcommand not in kept:
            parser = build(self, klass, subcommand, **kwargs)
            kept[subcommand] = parser, self._subcommand_method_arguments[subcommand]
        parser, self._subcommand_method_arguments[subcommand] = kept[subcommand]
        return parser

    CommandLine._whole_parser = whole_parser  # type: ignore[method-assign]
    for name in CommandLine.subcommands():
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            run([name, '--help-all'])
