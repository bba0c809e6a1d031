"""Deformable convolution, v1 (https://arxiv.org/abs/1703.06211) and v2 (https://arxiv.org/abs/1811.11168).

On CUDA, uses torchvision's operator if it is compiled for CUDA. Otherwise uses plain torch, which on a CPU is at least
three times as fast as torchvision and does not need its operators. Both compute in at least float32: in half precision,
sampling positions on a large map would be off by fractions of a pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.modules.utils import _pair
from torch.utils.checkpoint import checkpoint

try:
    from torchvision.ops import deform_conv2d as torchvision_deform_conv2d
except (ImportError, RuntimeError):  # the latter if it was built for another torch
    torchvision_deform_conv2d = None

Size = int | tuple[int, ...]
Pair = tuple[int, int]

#: Whether torchvision's operator has a CUDA kernel; not if torchvision was built for another torch.
TORCHVISION_CUDA = hasattr(torch.ops.torchvision, 'deform_conv2d') and torch._C._dispatch_has_kernel_for_dispatch_key(
    'torchvision::deform_conv2d', 'CUDA'
)


def deform_conv2d(
    features: Tensor,
    offset: Tensor,
    weight: Tensor,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    deform_groups: int = 1,
    bias: bool = False,
    im2col_step: int = 32,
) -> Tensor:
    """Return the deformable convolution v1, with the arguments of mmcv's function.

    See `modulated_deform_conv2d`. `bias` must be False, as in mmcv; `im2col_step` has no effect.
    """
    del im2col_step
    if bias:
        raise ValueError('deform_conv2d: bias must be False, got True')
    return modulated_deform_conv2d(
        features, offset, None, weight, None, stride, padding, dilation, groups, deform_groups
    )


def modulated_deform_conv2d(
    features: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    deform_groups: int = 1,
) -> Tensor:
    """Return the deformable convolution v2, with the arguments of mmcv's function.

    Args:
        features: `[N, C, H, W]`.
        offset: (y, x) offset of each kernel tap in pixels, `[N, G*kh*kw*2, H', W']` with G = `deform_groups`.
        mask: a factor for each tap, `[N, G*kh*kw, H', W']`; None for v1.
        weight: `[O, C/groups, kh, kw]`.
        bias: `[O]`.
        stride: one number, or two for (y, x).
        padding: one number, or two for (y, x).
        dilation: one number, or two for (y, x).
        groups: number of channel groups with separate kernels.
        deform_groups: G, number of channel groups with separate offsets.

    Returns:
        `[N, O, H', W']`, with the dtype of `offset`, which autocast may have changed, as in mmcv.

    Raises:
        ValueError: for a wrong shape, or an input that is too small for the kernel.
    """
    geometry = _pair(stride), _pair(padding), _pair(dilation)
    size = _output_size(features, weight, *geometry)
    _check(features, offset, mask, weight, size, groups, deform_groups)
    result_dtype = offset.dtype
    dtype = torch.promote_types(result_dtype, torch.float32)
    features, offset, weight = features.to(dtype), offset.to(dtype), weight.to(dtype)
    mask = None if mask is None else mask.to(dtype)
    grid = _grid(size, weight, *geometry)
    moves = offset.unflatten(1, (deform_groups, -1, 2))  # N, G, kh*kw, 2, H', W'
    moves = _within_reach(moves, grid, features)
    result: Tensor
    if TORCHVISION_CUDA and features.is_cuda:
        result = torchvision_deform_conv2d(features, moves.flatten(1, 3), weight, None, *geometry, mask)
    else:
        # Without checkpointing, autograd would keep six tensors of the size of all samples.
        arguments = (features, grid + moves, mask, weight, groups)
        result = checkpoint(_convolve, *arguments, use_reentrant=False, preserve_rng_state=False)
    if bias is not None:
        result = result + bias.to(result.dtype)[:, None, None]
    return result.to(result_dtype)


def _output_size(features: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> list[int]:
    """Return `[H', W']`."""
    parts = zip(features.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    return [(length + 2 * pad - step * (taps - 1) - 1) // jump + 1 for length, taps, jump, pad, step in parts]


def _check(
    features: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    size: list[int],
    groups: int,
    deform_groups: int,
) -> None:
    if min(size) < 1:
        raise ValueError(f'deform_conv2d: the input is too small: the result would have {size[0]}x{size[1]} pixels')
    taps = deform_groups * weight.shape[2] * weight.shape[3]
    expected = [
        ('weight', weight, [weight.shape[0], features.shape[1] // groups, *weight.shape[2:]]),
        ('offset', offset, [features.shape[0], 2 * taps, *size]),
        ('mask', mask, [features.shape[0], taps, *size]),
    ]
    for name, tensor, shape in expected:
        if tensor is not None and list(tensor.shape) != shape:
            raise ValueError(f'deform_conv2d: {name} must have the shape {shape}, got {list(tensor.shape)}')


def _grid(size: list[int], weight: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
    """Return the (y, x) input position of each kernel tap for each output pixel, `[kh*kw, 2, H', W']`."""
    y, x = (
        torch.arange(length, device=weight.device) * jump
        - pad
        + torch.arange(taps, device=weight.device)[:, None] * step
        for length, taps, jump, pad, step in zip(size, weight.shape[2:], stride, padding, dilation, strict=True)
    )  # kh, H' and kw, W'
    shape = (y.shape[0], x.shape[0], y.shape[1], x.shape[1])
    both = torch.stack([y[:, None, :, None].expand(shape), x[None, :, None, :].expand(shape)], dim=2)
    return both.flatten(0, 1)


def _within_reach(moves: Tensor, grid: Tensor, features: Tensor) -> Tensor:
    """Move taps outside the image, and those at NaN, to one position outside.

    Their samples and gradients are 0, as in mmcv. This includes exactly -1, the position of taps in a padded border
    with zero offsets, where torchvision has a gradient towards the image.
    """
    y, x = (grid + moves).unbind(3)
    inside = (y > -1) & (y < features.shape[2]) & (x > -1) & (x < features.shape[3])
    return torch.where(inside[:, :, :, None], moves, -2.0 - grid)


def _convolve(features: Tensor, positions: Tensor, mask: Tensor | None, weight: Tensor, groups: int) -> Tensor:
    """Convolve `[N, C, H, W]` at the tap positions `[N, G, kh*kw, 2, H', W']`."""
    count, deform_groups, taps, _, *size = positions.shape
    images = features.reshape(count * deform_groups, -1, *features.shape[2:])
    samples = _sample(images, *positions.flatten(0, 1).flatten(3).unbind(2))  # N*G, C/G, kh*kw, H'*W'
    if mask is not None:
        samples = samples * mask.reshape(count * deform_groups, 1, taps, -1)
    columns = samples.reshape(count, groups, -1, samples.shape[-1])  # N, groups, C/groups*kh*kw, H'*W'
    kernels = weight.reshape(groups, weight.shape[0] // groups, -1)
    return (kernels @ columns).reshape(count, -1, *size)


def _sample(images: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Sample `[N, C, H, W]` at positions `[N, ...]` bilinearly, with zeros outside; return `[N, C, ...]`.

    Not with `grid_sample`: some devices lack its gradient, and its coordinates from -1 to 1 are less precise.
    """
    height, width = images.shape[2:]
    top, left = y.detach().floor(), x.detach().floor()
    samples = images.new_zeros(())
    for row, row_share in ((top, top + 1 - y), (top + 1, y - top)):
        for column, column_share in ((left, left + 1 - x), (left + 1, x - left)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            pixel = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long()
            values = images.flatten(2).gather(2, pixel.flatten(1)[:, None].expand(-1, images.shape[1], -1))
            samples = samples + values.unflatten(2, y.shape[1:]) * (row_share * column_share * inside)[:, None]
    return samples
