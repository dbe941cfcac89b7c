"""Readers take turns, whatever one of them asks for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutaway.server.line import Crew, Line


@dataclass(eq=False)
class Task:
    reader: str
    number: int = 0
    do: Callable[[], None] = field(default=lambda: None)

    def run(self) -> None:
        self.do()


def taken(line: Line[Task]) -> list[tuple[str, int]]:
    order = []
    while (task := line.take()) is not None:
        order.append((task.reader, task.number))
    return order


def test_one_who_asks_for_much_waits_for_it_alone() -> None:
    line: Line[Task] = Line()
    for number in range(5):
        line.put(Task("greedy", number))
    line.put(Task("a", 0))
    line.put(Task("b", 0))
    line.put(Task("a", 1))
    assert len(line) == 8 and line.of("greedy") == 5 and line.of("a") == 2 and line.of("nobody") == 0
    assert taken(line) == [
        ("greedy", 0), ("a", 0), ("b", 0), ("greedy", 1), ("a", 1), ("greedy", 2), ("greedy", 3), ("greedy", 4)
    ]  # fmt: skip
    assert len(line) == 0 and line.take() is None


def test_one_who_comes_back_does_not_go_first() -> None:
    line: Line[Task] = Line()
    line.put(Task("a", 0))
    line.put(Task("b", 0))
    line.put(Task("b", 1))
    assert line.take().reader == "a"  # type: ignore[union-attr]
    line.put(Task("a", 1))
    assert taken(line) == [("b", 0), ("a", 1), ("b", 1)]


def test_what_leaves_makes_room() -> None:
    line: Line[Task] = Line()
    first, second, other = Task("a", 0), Task("a", 1), Task("b", 0)
    for task in (first, second, other):
        line.put(task)
    assert line.leave(first) and not line.leave(first)
    assert line.leave(other) and line.of("b") == 0 and len(line) == 1
    assert taken(line) == [("a", 1)] and not line.leave(second)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(("put", "put", "take", "leave"))), max_size=60))
def test_turns_are_fair_and_nothing_is_lost(moves: list[tuple[str, str]]) -> None:
    line: Line[Task] = Line()
    waiting: list[Task] = []
    since: dict[str, deque[str]] = {}  # who had a turn since this reader began to wait
    for number, (reader, move) in enumerate(moves):
        if move == "put":
            task = Task(reader, number)
            waiting.append(task)
            line.put(task)
            since.setdefault(reader, deque())
        elif move == "leave" and waiting:
            task = waiting.pop(number % len(waiting))
            assert line.leave(task)
        elif move == "take":
            got = line.take()
            assert (got is None) == (not waiting)
            if got is None:
                continue
            assert got is next(each for each in waiting if each.reader == got.reader)
            waiting.remove(got)
            for name, turns in since.items():
                if name != got.reader:
                    turns.append(got.reader)
                    # nobody has two turns while another waits for the first
                    assert turns.count(got.reader) <= 1 or name not in {each.reader for each in waiting}
            since[got.reader] = deque()
        still = {each.reader for each in waiting}
        since = {name: turns for name, turns in since.items() if name in still}
        assert len(line) == len(waiting)
        assert all(line.of(name) == sum(each.reader == name for each in waiting) for name in "abcd")


def test_a_crew_works_everything_off_and_refuses_only_what_would_wait() -> None:
    crew: Crew[Task] = Crew(2)
    go, done, begun = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)
    refused: list[tuple[int, int]] = []

    def hold() -> None:
        begun.release()
        assert go.wait(10)
        done.release()

    def refuse(waiting: int, own: int) -> None:
        refused.append((waiting, own))
        if waiting >= 2:
            raise OverflowError

    try:
        for _ in range(2):
            crew.put(Task("a", do=hold), refuse)
            assert begun.acquire(timeout=10)
        assert refused == []  # there were threads free
        crew.put(Task("a", do=hold), refuse)
        crew.put(Task("b", do=hold), refuse)
        with pytest.raises(OverflowError):
            crew.put(Task("a", do=hold), refuse)
        assert refused == [(0, 0), (1, 0), (2, 1)]
        go.set()
        for _ in range(4):
            assert done.acquire(timeout=10)
        crew.put(Task("c", do=done.release), refuse)  # its threads have gone home, and come again
        assert done.acquire(timeout=10)
    finally:
        go.set()
        crew.dismiss()
