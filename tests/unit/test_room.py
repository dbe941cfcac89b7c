"""Memory of large arrays is used again when they are gone, and never while they are alive."""

from __future__ import annotations

import gc
import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from cutaway.kernels import room
from cutaway.kernels.room import Rooms

MB = 1 << 20


def address(array: np.ndarray) -> int:
    return int(array.ctypes.data)


@pytest.fixture
def rooms() -> Rooms:
    return Rooms(kept_for=60.0, most_kept=64 * MB)


def test_an_array_lies_where_one_lay_that_is_gone(rooms: Rooms) -> None:
    first = rooms.take(8 * MB)
    assert first.dtype == np.float32 and first.nbytes == 8 * MB and first.flags.writeable
    first[:] = 1.0
    where = address(first)
    del first
    assert rooms.kept == 8 * MB
    again = rooms.take(7 * MB)
    assert address(again) == where and rooms.kept == 0


def test_nothing_lies_over_what_is_alive(rooms: Rooms) -> None:
    alive: list[tuple[np.ndarray, float]] = []
    rng = np.random.default_rng(0)
    for step in range(300):
        if alive and rng.random() < 0.5:
            del alive[int(rng.integers(len(alive)))]
        taken = rooms.take(int(rng.integers(4, 9)) * MB)
        taken[:: 1 << 16] = step
        part = (taken, taken[1000:], taken[: 1 << 18].reshape(512, -1).T, memoryview(taken), np.asarray(taken[::2]))
        keep = part[int(rng.integers(len(part)))]
        if step % 3:
            alive.append((np.asarray(keep), float(step)))
        del taken, part, keep
        for array, value in alive:
            found = array.reshape(-1) if array.ndim == 1 else array.T.reshape(-1)
            assert set(np.unique(found[found != 0])) <= {value} and array.base is not None
        alive = alive[-6:]
    assert rooms.kept <= 64 * MB


def test_a_part_keeps_the_whole(rooms: Rooms) -> None:
    whole = rooms.take(4 * MB)
    part = whole[5:6]
    where = address(whole)
    del whole
    assert rooms.kept == 0 and address(rooms.take(4 * MB)) != where
    del part
    gc.collect()
    assert rooms.kept >= 4 * MB


def test_no_more_is_kept_than_the_bound_and_the_oldest_goes_first(rooms: Rooms) -> None:
    arrays = [rooms.take(24 * MB) for _ in range(4)]
    places = [address(each) for each in arrays]
    for each in range(4):
        arrays[each] = np.zeros(0, np.float32)
    assert rooms.kept == 48 * MB
    assert {address(rooms.take(24 * MB)) for _ in range(1)} <= set(places[2:])


def test_what_waits_too_long_goes_back_to_the_system() -> None:
    rooms = Rooms(kept_for=0.2)
    array = rooms.take(8 * MB)
    del array
    assert rooms.kept == 8 * MB
    until = time.monotonic() + 5
    while rooms._free and time.monotonic() < until:
        time.sleep(0.05)
    assert not rooms._free and not rooms._back, "the keeper lets go by itself"


def test_memory_that_is_much_too_large_is_left_for_others(rooms: Rooms) -> None:
    large = rooms.take(40 * MB)
    del large
    small = rooms.take(6 * MB)
    assert rooms.kept == 40 * MB and small.nbytes == 6 * MB


def test_threads_never_share(rooms: Rooms) -> None:
    wrong: list[int] = []

    def work(mark: int) -> None:
        for _ in range(200):
            mine = rooms.take(4 * MB)
            mine[:: 1 << 14] = mark
            other = rooms.take(5 * MB)
            other[:: 1 << 14] = mark
            if not (mine[:: 1 << 14] == mark).all() or not (other[:: 1 << 14] == mark).all():
                wrong.append(mark)

    workers = [threading.Thread(target=work, args=(mark,)) for mark in range(1, 5)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert not wrong


def test_every_array_begins_on_a_cache_line() -> None:
    for shape in [(1,), (3, 5), (2, 1 << 20), (7, 11, 13)]:
        array = room.empty(shape)
        assert array.shape == shape and address(array) % 64 == 0 and array.flags.c_contiguous
    together = room.together({"a": (3,), "b": (1 << 20,), "c": (5, 5)})
    assert [each.shape for each in together.values()] == [(3,), (1 << 20,), (5, 5)]
    assert all(address(each) % 64 == 0 for each in together.values())
    spans = sorted((address(each), address(each) + each.nbytes) for each in together.values())
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
