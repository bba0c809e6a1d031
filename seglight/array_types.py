"""Types of arrays and of their sizes, which several modules share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Images `[H, W, 3]` RGB, masks `[H, W]` and encoded files `[N]`.
UInt8Array = npt.NDArray[np.uint8]

#: Arrays of any shape and meaning.
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

#: Height and width in pixels.
Size = tuple[int, int]
