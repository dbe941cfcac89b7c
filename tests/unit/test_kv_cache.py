"""Rows come back as they went in, and a row that was handed out never changes."""

from __future__ import annotations

import numpy as np
import pytest

from cutaway.errors import BadSelection
from cutaway.generation.kv_cache import SMALLEST, KVCache

LAYERS = 3


def rows(n: int, first: float) -> tuple[np.ndarray, np.ndarray]:
    """Keys and values [n, 2, 4] that tell every row apart."""
    k = np.repeat(np.arange(first, first + n, dtype=np.float32), 8).reshape(n, 2, 4)
    return k, -k


def extend(cache: KVCache, n: int, first: float, layers: int = LAYERS) -> None:
    for layer in range(layers):
        k, v = rows(n, first + 1000 * layer)
        all_k, all_v = cache.memory(layer).extend(k, v)
        np.testing.assert_array_equal(all_k[-n:], k)
        np.testing.assert_array_equal(all_v[-n:], v)


def keys(cache: KVCache, layer: int = 0) -> list[float]:
    return [float(row[0, 0]) for row in cache.past(layer, cache.length)[0]]


def test_rows_come_back_in_order_and_in_float32() -> None:
    cache = KVCache(LAYERS)
    assert cache.length == 0 and cache.nbytes == 0
    extend(cache, 5, 0)
    extend(cache, 1, 5)
    assert cache.length == 6
    for layer in range(LAYERS):
        k, v = cache.past(layer, 6)
        np.testing.assert_array_equal(k, rows(6, 1000 * layer)[0])
        np.testing.assert_array_equal(v, -k)
        assert k.dtype == v.dtype == np.float32
    assert cache.nbytes == 2 * LAYERS * 6 * 8 * 4


def test_growing_keeps_what_was_handed_out() -> None:
    cache = KVCache(1)
    extend(cache, 10, 0, layers=1)
    early, _ = cache.past(0, 10)
    for n in range(10, 5 * SMALLEST):
        extend(cache, 1, n, layers=1)
    assert keys(cache) == list(range(5 * SMALLEST))
    np.testing.assert_array_equal(early, rows(10, 0)[0])


def test_appending_does_not_copy_what_is_there() -> None:
    cache = KVCache(1)
    extend(cache, 10, 0, layers=1)
    before, _ = cache.past(0, 10)
    extend(cache, 1, 10, layers=1)
    after, _ = cache.past(0, 11)
    assert np.shares_memory(before, after)


def test_what_is_handed_out_is_read_only() -> None:
    cache = KVCache(1)
    k, _ = cache.memory(0).extend(*rows(3, 0))
    for view in (k, cache.past(0, 2)[0], cache.prefix(2).past(0, 2)[0]):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 1.0


@pytest.mark.parametrize("failed_layers", [1, 2])
def test_a_pass_that_fails_midway_leaves_the_cache_as_it_was(failed_layers: int) -> None:
    cache = KVCache(LAYERS)
    extend(cache, 4, 0)
    extend(cache, 3, 50, layers=failed_layers)  # and then the pass raised
    assert cache.length == 4
    assert keys(cache) == [0, 1, 2, 3]
    extend(cache, 2, 4)
    for layer in range(LAYERS):
        assert keys(cache, layer) == [1000 * layer + n for n in range(6)]


def test_truncated_rows_are_written_over() -> None:
    cache = KVCache(LAYERS)
    extend(cache, 6, 0)
    cache.truncate(3)
    assert cache.length == 3
    extend(cache, 2, 90)
    assert keys(cache) == [0, 1, 2, 90, 91]


def test_a_view_of_truncated_rows_stays_true() -> None:
    cache = KVCache(1)
    extend(cache, 6, 0, layers=1)
    k, v = cache.past(0, 6)
    cache.truncate(3)
    extend(cache, 3, 90, layers=1)
    np.testing.assert_array_equal(k, rows(6, 0)[0])
    np.testing.assert_array_equal(v, rows(6, 0)[1])
    assert keys(cache) == [0, 1, 2, 90, 91, 92]


def test_a_prefix_and_its_cache_never_change_each_other() -> None:
    cache = KVCache(LAYERS)
    extend(cache, 6, 0)
    prefix = cache.prefix(4)
    extend(cache, 1, 6)
    assert keys(prefix) == [0, 1, 2, 3]
    extend(prefix, 2, 70)
    assert keys(prefix) == [0, 1, 2, 3, 70, 71]
    assert keys(cache) == [0, 1, 2, 3, 4, 5, 6]


def test_a_prefix_stays_true_when_its_rows_are_truncated() -> None:
    cache = KVCache(LAYERS)
    extend(cache, 6, 0)
    prefix = cache.prefix(5)
    cache.truncate(2)
    extend(cache, 4, 80)
    assert keys(prefix) == [0, 1, 2, 3, 4]
    assert keys(cache) == [0, 1, 80, 81, 82, 83]


def test_a_prefix_of_nothing_is_empty() -> None:
    cache = KVCache(1)
    extend(cache, 2, 0, layers=1)
    empty = cache.prefix(0)
    assert empty.length == 0
    assert empty.past(0, 0)[0].shape == (0, 2, 4)


@pytest.mark.parametrize("n", [-1, 4])
def test_rows_that_are_not_there_are_refused(n: int) -> None:
    cache = KVCache(1)
    extend(cache, 3, 0, layers=1)
    for ask in (cache.truncate, cache.prefix, lambda n: cache.past(0, n)):
        with pytest.raises(BadSelection, match="holds 3 positions"):
            ask(n)
    with pytest.raises(BadSelection, match="cache is empty"):
        KVCache(1).past(0, 0)


@pytest.mark.yardstick
def test_arrays_of_another_library_flow_through() -> None:
    import torch

    cache = KVCache(2)
    for n in (4, 1, 1):
        for layer in range(2):
            k = torch.full((n, 2, 4), float(n))
            all_k, _ = cache.memory(layer).extend(k, -k)
            assert isinstance(all_k, torch.Tensor)
    assert cache.length == 6
    prefix = cache.prefix(4)
    cache.truncate(4)
    cache.memory(0).extend(torch.zeros(1, 2, 4), torch.zeros(1, 2, 4))
    assert prefix.past(0, 4)[0].tolist() == torch.full((4, 2, 4), 4.0).tolist()
