"""The commands for checkpoints and weights: what they offer without importing torch is what there is."""

from argparse import ArgumentParser

from seglight.checkpoints import convert
from seglight.cli.commands import weights
from seglight.tools.export import FORMATS


def test_convert_offers_the_families_that_it_knows() -> None:
    assert sorted(weights.FAMILIES) == sorted([*convert.FAMILIES, convert.TIMM])


def test_export_offers_the_formats_that_it_writes() -> None:
    parser = ArgumentParser()
    weights.export_arguments(parser)
    (offered,) = (action.choices for action in parser._actions if action.dest == 'format')
    assert offered == [*FORMATS]
