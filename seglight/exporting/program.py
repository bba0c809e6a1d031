"""A traced graph: the program of `torch.export` that all formats are made from."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from seglight.array_types import Size
from seglight.errors import UsageError, one_line
from seglight.exporting.graph import Graph
from seglight.exporting.tracing.traceable import from_one_pixel, traceable

#: The images that are traced: no side is equal to another number in a model, or a power of two.
TRACED = 2, 3, 131, 157


def program_of(graph: Graph, size: Size | None) -> torch.export.ExportedProgram:
    """Trace a graph.

    Args:
        graph: the graph.
        size: height and width of the only images that the program takes; None for any size. It takes any number of
            images in both cases.

    Raises:
        UsageError: if torch cannot trace it, or only for a fixed size; says why.
    """
    count, channels, height, width = TRACED
    if size is None and graph.padding.fixed:
        height, width = graph.padding.fixed
    if size is not None:
        height, width = size
    image = torch.zeros(count, channels, height, width, dtype=torch.uint8)
    any_length: Any = torch.export.Dim.DYNAMIC  # with the limits that torch finds; a name would have none
    dynamic = {0: any_length}
    if size is None:
        largest = graph.padding.fixed or (None, None)
        dynamic |= {2: any_length(max=largest[0]), 3: any_length(max=largest[1])}
    try:
        with torch.no_grad(), traceable(graph), from_one_pixel(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            program = torch.export.export(
                graph,
                (image,),
                dynamic_shapes=(dynamic,),
                strict=False,
                prefer_deferred_runtime_asserts_over_guards=True,
            )
    except Exception as error:  # torch has many errors for what it cannot trace
        cure = '' if size else '; export with --size HEIGHT WIDTH for images of one size'
        raise UsageError(f'export: torch cannot trace the model: {one_line(error)[:300]}{cure}') from error
    return _without_assertions(program)


def _without_assertions(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Drop torch's assertions about sizes, as its translation to ONNX does.

    They refuse feature maps with a side of one pixel, which memory formats during the trace do not have; the operators
    take them, and the proof runs such images.
    """
    graph = program.graph
    for node in list(graph.nodes):
        if node.target is torch.ops.aten._assert_scalar.default:
            graph.erase_node(node)
    graph.eliminate_dead_code()
    program.graph_module.recompile()
    return program
