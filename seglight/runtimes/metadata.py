"""What an exported file says about itself: classes, palette, the settings of its run, and its proof."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Le, Len
from pydantic import BaseModel, ConfigDict, ValidationError

from seglight.counting import counted, percent
from seglight.errors import CheckpointError

#: The name of the metadata in every format.
NAME = 'seglight'

#: Limit of their text, in characters; 10,000 are usual.
MOST_TEXT = 4 << 20

Byte = Annotated[int, Ge(0), Le(255)]
Colour = Annotated[list[Byte], Len(3, 3)]
Side = Annotated[int, Ge(1), Le(1 << 16)]
Sides = Annotated[list[Side], Len(2, 2)]
Share = Annotated[float, Ge(0), Le(1)]


class _Plain(BaseModel):
    """Values of exactly the types that are named; a later seglight may add others."""

    model_config = ConfigDict(strict=True, frozen=True, extra='ignore', allow_inf_nan=False)


class Comparison(_Plain):
    """How far the outputs of a file differ from those of its checkpoint.

    Attributes:
        images: number of compared images.
        equal_pixels: share of pixels with the same class, 0 to 1.
        difference: largest absolute difference of two logits; None for a file that returns masks.
    """

    images: int
    equal_pixels: Share
    difference: float | None

    def text(self, kind: str) -> str:
        """Return how many images of a kind were compared, and the share of equal pixels."""
        return f'{counted(self.images, f"{kind} image")}: {percent(self.equal_pixels)} of the pixels are equal'


class Proof(_Plain):
    """What the export measured before it kept the file.

    Attributes:
        random: on random tensors of several sizes and batches.
        validation: on images of the run's validation data; None if they were missing.
        miou: mIoU of the checkpoint and of the file on those images, for a quantised file.
    """

    random: Comparison
    validation: Comparison | None = None
    miou: Annotated[list[Share], Len(2, 2)] | None = None

    def comparisons(self) -> dict[str, Comparison]:
        """Return the comparisons that were made, by the kind of images."""
        found = {'random': self.random, 'validation': self.validation}
        return {kind: each for kind, each in found.items() if each is not None}


class Metadata(_Plain):
    """The metadata of an exported file.

    Attributes:
        format: version of this list.
        run: the run and the checkpoint that it is from.
        classes: names of the classes; label i of a mask is class i.
        palette: an RGB colour for each class.
        ignore_index: label of ignored pixels in the masks of the data.
        output: `logits`, float32 `[B, channels, H, W]`; or `mask`, uint8 `[B, H, W]`.
        align_corners: how the logits are to be resized, as in `torch.nn.functional.interpolate`.
        channels: channels of the logits: the number of classes, or 1 for a binary head with a sigmoid.
        threshold: probability above which one channel means class 1.
        precision: of weights and features.
        size: height and width of the only images that it takes; None if it takes any.
        largest: height and width of the largest images that it takes; None if it takes any.
        config: the settings of its run that predictions need, as YAML.
        versions: of the packages that wrote it.
        proof: what was measured when it was written.
    """

    format: Literal[1] = 1
    run: Annotated[str, Len(0, 1000)]
    classes: Annotated[list[Annotated[str, Len(1, 200)]], Len(1, 255)]
    palette: Annotated[list[Colour], Len(1, 255)]
    ignore_index: Byte
    output: Literal['logits', 'mask']
    align_corners: bool
    channels: Byte
    threshold: Share
    precision: Literal['float32', 'float16', 'int8']
    size: Sides | None
    largest: Sides | None
    config: str
    versions: dict[str, str]
    proof: Proof | None = None

    def text(self) -> str:
        """Return the metadata as JSON, which `parse` reads."""
        return self.model_dump_json()


def parse(text: str | bytes | None, path: Path) -> Metadata:
    """Return the metadata in a file.

    Args:
        text: their JSON, None if the file has none.
        path: the file, for messages.

    Raises:
        CheckpointError: if they are missing or not those of seglight.
    """
    if text is None:
        raise CheckpointError(f'{path} has no metadata of seglight: export it with `seglight export`')
    if len(text) > MOST_TEXT:
        raise CheckpointError(f'{path} is refused: its metadata have more than {MOST_TEXT:,} characters')
    try:
        found = Metadata.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = '.'.join(str(each) for each in first['loc']) or 'its text'
        raise CheckpointError(f'{path} has invalid metadata: {where}: {first["msg"]}') from error
    if len(found.palette) != len(found.classes) or found.channels not in (1, len(found.classes)):
        raise CheckpointError(f'{path} has invalid metadata: its classes, colours and channels differ in number')
    return found
