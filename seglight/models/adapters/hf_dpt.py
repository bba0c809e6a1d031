"""DPT of transformers for images of any height and width."""

from __future__ import annotations

from typing import Any

from torch import nn

from seglight.array_types import Size


class PatchGrid:
    """Lets a `DPTForSemanticSegmentation` know the grid of its patches.

    transformers takes it for a square, so that an image of 64x96 pixels would raise an error. It also drops the rows
    and columns after the last whole patch, which would stretch the masks; here such a size is an error, for which the
    caller pads.

    Args:
        model: the model; it is called with `pixel_values` by name.
    """

    size: Size

    def __init__(self, model: Any) -> None:
        self.side = model.config.patch_size
        model.register_forward_pre_hook(self._note, with_kwargs=True)
        model.neck.register_forward_pre_hook(self._pass_on, with_kwargs=True)

    def _note(self, model: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        del model, positional
        height, width = named['pixel_values'].shape[2:]
        if isinstance(height, int) and isinstance(width, int):  # an export traces symbols, and pads itself
            self._check(height, width)
        self.size = height // self.side, width // self.side

    def _check(self, height: int, width: int) -> None:
        # Two patches at least: if images are padded to one, torch.export takes only those that need more.
        if height % self.side or width % self.side or min(height, width) < 2 * self.side:
            raise ValueError(f'DPT must get sides of 2 or more times {self.side} pixels, got {width}x{height}')

    def _pass_on(self, neck: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
        del neck
        return positional, {**named, 'patch_height': self.size[0], 'patch_width': self.size[1]}
