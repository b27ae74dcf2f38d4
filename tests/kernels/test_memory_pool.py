"""Large native results come from memory that is used again."""

from __future__ import annotations

import threading

import pytest
import torch

from tamis.kernels import ConvGeometry, PackedPattern, memory_state, release_memory, sparse_conv2d

PATTERN = PackedPattern.from_mask(torch.rand(16, 8, 1, 1) < 0.5)
VALUES = torch.randn(PATTERN.nnz)


def convolve(pixels=64, batch=8):
    x = torch.randn(batch, 8, pixels, pixels)
    return sparse_conv2d(x, VALUES, None, PATTERN, ConvGeometry((pixels, pixels)))


@pytest.fixture(autouse=True)
def _empty_pool():
    release_memory()
    if memory_state().in_use:
        pytest.fail("tensors of another test are still alive")


def test_memory_of_a_dead_result_serves_the_next():
    y = convolve()
    address, bytes_of_y = y.data_ptr(), y.numel() * 4
    assert memory_state().in_use >= bytes_of_y
    del y
    assert memory_state().in_use == 0
    assert memory_state().kept >= bytes_of_y
    assert convolve().data_ptr() == address


def test_a_view_keeps_the_memory():
    y = convolve()
    view, wanted = y[3], y[3].clone()
    del y
    others = [convolve() for _ in range(3)]
    assert torch.equal(view, wanted)
    assert len({t.data_ptr() for t in others} | {view.untyped_storage().data_ptr()}) == 4


def test_the_pool_holds_little_more_than_was_in_use_at_once():
    first, second = convolve(300), convolve(450)
    del first
    third = convolve(310)  # the hole is too small
    state = memory_state()
    assert state.in_use < state.in_use + state.kept <= state.in_use + 16 * 2**20
    del second, third
    release_memory()
    assert memory_state().kept == 0


def test_small_results_come_from_torch():
    y = convolve(pixels=4)
    assert memory_state().in_use == 0
    assert y.shape == (8, 16, 4, 4)


def test_threads_get_memory_of_their_own():
    results, wanted = {}, convolve()

    def work(number):
        torch.set_num_threads(1)
        for _ in range(20):
            x = torch.full((8, 8, 64, 64), float(number))
            y = sparse_conv2d(x, VALUES, None, PATTERN, ConvGeometry((64, 64)))
            results[number] = results.get(number, True) and bool((y[:, :, 0, 0] == y[:, :, -1, -1]).all())

    crew = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    assert results == dict.fromkeys(range(4), True)
    assert wanted.isfinite().all()
