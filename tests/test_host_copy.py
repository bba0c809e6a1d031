"""Copies on the host."""

import gc

import torch

from seglight.host_copy import _COPIES, HostCopy, shared_copy


def test_a_tensor_of_the_cpu_is_not_copied() -> None:
    tensor = torch.arange(6.0, requires_grad=True).reshape(2, 3)
    copy = HostCopy(tensor)
    assert copy.array().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert copy.array().ctypes.data == tensor.data_ptr()


def test_a_tensor_is_copied_once_for_all_who_ask_and_forgotten_with_it() -> None:
    gc.collect()
    before = len(_COPIES)
    tensor = torch.ones(3)
    assert shared_copy(tensor) is shared_copy(tensor)
    assert shared_copy(tensor) is not shared_copy(tensor.clone())
    assert len(_COPIES) == before + 1
    del tensor
    gc.collect()
    assert len(_COPIES) == before
