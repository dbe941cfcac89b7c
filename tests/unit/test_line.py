"""Readers take turns, whatever one of them asks for."""

from __future__ import annotations

import threading
import time
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
    follows: bool = False
    do: Callable[[], None] = field(default=lambda: None)

    def run(self) -> None:
        self.do()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def worked_off(line: Line[Task], clock: Clock, seconds: float = 1.0) -> list[tuple[str, int]]:
    """One worker; every task takes so long."""
    order = []
    while (task := line.take()) is not None:
        order.append((task.reader, task.number))
        clock.now += seconds
        line.charge(task, seconds)
    return order


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_one_who_asks_for_much_waits_for_it_alone(clock: Clock) -> None:
    line: Line[Task] = Line(1.0, clock)
    for number in range(5):
        line.put(Task("greedy", number))
    line.put(Task("a", 0))
    line.put(Task("b", 0))
    line.put(Task("a", 1))
    assert len(line) == 8 and line.of("greedy") == 5 and line.of("a") == 2 and line.of("nobody") == 0
    assert worked_off(line, clock) == [
        ("greedy", 0), ("a", 0), ("b", 0), ("greedy", 1), ("a", 1), ("greedy", 2), ("greedy", 3), ("greedy", 4)
    ]  # fmt: skip
    assert len(line) == 0 and line.take() is None


def test_small_things_are_one_turn(clock: Clock) -> None:
    line: Line[Task] = Line(1.0, clock)
    for number in range(3):
        line.put(Task("a", number, follows=number > 0))
        line.put(Task("b", number, follows=number > 0))
    assert worked_off(line, clock, 0.4) == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("b", 2)]


def test_what_a_page_asks_next_is_still_its_turn(clock: Clock) -> None:
    line: Line[Task] = Line(1.0, clock)
    for reader in "abc":
        line.put(Task(reader))
    first = line.take()
    assert first is not None and first.reader == "a"
    line.charge(first, 0.5)
    line.put(Task("a", 1, follows=True))  # its trace is there: now the picture
    assert worked_off(line, clock, 0.3)[:2] == [("a", 1), ("b", 0)]


def test_something_new_is_another_turn(clock: Clock) -> None:
    line: Line[Task] = Line(1.0, clock)
    for number in range(3):
        line.put(Task("a", number))
    line.put(Task("b"))
    assert worked_off(line, clock, 0.01) == [("a", 0), ("b", 0), ("a", 1), ("a", 2)]
    for reader in "ab":
        line.put(Task(reader))
    line.charge(line.take(), 0.01)  # type: ignore[arg-type]
    line.put(Task("a", 1))  # the next letter
    assert worked_off(line, clock, 0.01) == [("b", 0), ("a", 1)]


@pytest.mark.parametrize(("seconds", "pause"), [(1.0, 0.0), (0.5, 5.0)])
def test_a_turn_is_over_when_it_is_used_up_or_left(clock: Clock, seconds: float, pause: float) -> None:
    line: Line[Task] = Line(1.0, clock)
    for reader in "abc":
        line.put(Task(reader))
    line.charge(line.take(), seconds)  # type: ignore[arg-type]
    clock.now += pause
    line.put(Task("a", 1, follows=True))
    assert worked_off(line, clock) == [("b", 0), ("c", 0), ("a", 1)]


def test_long_work_is_paid_back(clock: Clock) -> None:
    line: Line[Task] = Line(1.0, clock)
    line.put(Task("long"))
    long = line.take()
    assert long is not None
    line.charge(long, 3.5)
    line.put(Task("long", 1))
    for number in range(6):
        line.put(Task("short", number))
    # two and a half turns too many: the other has two first, and one in the same round
    assert [reader for reader, _ in worked_off(line, clock)] == ["short"] * 2 + ["long"] + ["short"] * 4
    line.put(Task("long", 2))
    line.charge(line.take(), 1000.0)  # type: ignore[arg-type]
    line.put(Task("long", 3))
    started = time.perf_counter()
    assert line.take() is not None and time.perf_counter() - started < 0.1  # nobody else waits: at once


def test_time_pays_back_too(clock: Clock) -> None:
    line: Line[Task] = Line(1.0, clock)
    line.put(Task("long"))
    line.charge(line.take(), 3.5)  # type: ignore[arg-type]
    clock.now = 10.0
    line.put(Task("long", 1))
    line.put(Task("short", 0))
    assert worked_off(line, clock)[0] == ("long", 1)


def test_one_who_comes_back_does_not_go_first(clock: Clock) -> None:
    line: Line[Task] = Line(1.0, clock)
    line.put(Task("a", 0))
    line.put(Task("b", 0))
    line.put(Task("b", 1))
    first = line.take()
    assert first is not None and first.reader == "a"
    line.charge(first, 1.0)
    line.put(Task("a", 1))
    assert worked_off(line, clock) == [("b", 0), ("a", 1), ("b", 1)]


def test_what_leaves_makes_room(clock: Clock) -> None:
    line: Line[Task] = Line(1.0, clock)
    first, second, other = Task("a", 0), Task("a", 1), Task("b", 0)
    for task in (first, second, other):
        line.put(task)
    assert line.leave(first) and not line.leave(first)
    assert line.leave(other) and line.of("b") == 0 and len(line) == 1
    assert worked_off(line, clock) == [("a", 1)] and not line.leave(second)


def test_readers_who_have_gone_are_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cutaway.server.line.KNOWN", 10)
    line: Line[Task] = Line(1.0, clock)
    for number in range(50):
        line.put(Task(f"{number}"))
        line.take()
    for number in range(20):
        line.put(Task(f"waits {number}"))
    assert len(line._turns) <= 21
    assert len(worked_off(line, clock)) == 20


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(("put", "put", "take", "leave"))), max_size=60))
def test_turns_are_fair_and_nothing_is_lost(moves: list[tuple[str, str]]) -> None:
    clock = Clock()
    line: Line[Task] = Line(1.0, clock)
    waiting: list[Task] = []
    since: dict[str, list[str]] = {}  # who had a turn since this reader began to wait
    for number, (reader, move) in enumerate(moves):
        if move == "put":
            task = Task(reader, number)
            waiting.append(task)
            line.put(task)
            since.setdefault(reader, [])
        elif move == "leave" and waiting:
            assert line.leave(waiting.pop(number % len(waiting)))
        elif move == "take":
            got = line.take()
            assert (got is None) == (not waiting)
            if got is None:
                continue
            clock.now += 1.0
            line.charge(got, 1.0)  # a whole turn
            assert got is next(each for each in waiting if each.reader == got.reader)
            waiting.remove(got)
            for name, turns in since.items():
                if name != got.reader and any(each.reader == name for each in waiting):
                    turns.append(got.reader)
                    # nobody has two turns while another waits for the first
                    assert turns.count(got.reader) <= 1, (name, turns)
            since[got.reader] = []
        still = {each.reader for each in waiting}
        since = {name: turns for name, turns in since.items() if name in still}
        assert len(line) == len(waiting)
        assert all(line.of(name) == sum(each.reader == name for each in waiting) for name in "abcd")


def test_a_crew_works_everything_off_and_refuses_only_what_would_wait() -> None:
    crew: Crew[Task] = Crew(2, 0.1)
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
