"""Who is next: each reader's own work in the order it came, and the readers in turn.

A reader who asks for a hundred things at once waits for them alone: after each, everybody else who waits has a turn.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar


class Task(Protocol):
    """Something to be done for a reader. `run` raises nothing."""

    @property
    def reader(self) -> str: ...

    def run(self) -> None: ...


T = TypeVar("T", bound=Task)


class Line(Generic[T]):
    """First come, first served for one reader; round-robin between readers. Not thread-safe."""

    def __init__(self) -> None:
        self._readers: OrderedDict[str, deque[T]] = OrderedDict()  # whose turn comes first stands first
        self._length = 0

    def put(self, task: T) -> None:
        self._readers.setdefault(task.reader, deque()).append(task)
        self._length += 1

    def take(self) -> T | None:
        """The next one; its reader then goes to the end."""
        if not self._readers:
            return None
        reader, own = self._readers.popitem(last=False)
        task = own.popleft()
        if own:
            self._readers[reader] = own
        self._length -= 1
        return task

    def leave(self, task: T) -> bool:
        """Takes it out; whether it was still there."""
        own = self._readers.get(task.reader)
        if own is None or task not in own:
            return False
        own.remove(task)
        self._length -= 1
        if not own:
            del self._readers[task.reader]
        return True

    def of(self, reader: str) -> int:
        """How much of one reader's waits."""
        return len(self._readers.get(reader, ()))

    def __len__(self) -> int:
        return self._length


class Crew(Generic[T]):
    """A few threads that work a line off. They take the next task themselves, so that none is idle while the event
    loop is busy."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._working = 0
        self._line: Line[T] = Line()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="cutaway")

    def put(self, task: T, refuse: Callable[[int, int], None]) -> None:
        """`refuse(waiting, of this reader)` raises where the line is too long; nothing waits while a thread is
        free."""
        with self._lock:
            called = self._working < self._workers
            if not called:
                refuse(len(self._line), self._line.of(task.reader))
            self._line.put(task)
            self._working += called
        if called:
            self._pool.submit(self._work)

    def leave(self, task: T) -> bool:
        """Takes it out of the line; whether it was still there, and so will never be begun."""
        with self._lock:
            return self._line.leave(task)

    def dismiss(self) -> None:
        """No new work is begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(self) -> None:
        while (task := self._next()) is not None:
            task.run()

    def _next(self) -> T | None:
        with self._lock:
            task = self._line.take()
            if task is None:
                self._working -= 1
            return task
