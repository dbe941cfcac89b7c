"""Who is next: each reader's own work in the order it came, and the readers in turn.

Something new (a text, the next pass of a generation) begins a turn. A page that has got its trace then reads ten
small things of it: what so follows is of the same turn, up to so many seconds of work, and need not wait for
everybody else ten times. Whoever took more than a turn pays it back by waiting longer. So a reader who asks for a
hundred things at once waits for them alone, and one who asks for long work does, too.

Source: deficit round-robin (Shreedhar and Varghese 1995), with seconds for bytes.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

KNOWN = 4096  # readers whose turns are remembered
# A turn stays open for so long after its last work: until what a page asks next has come.
OPEN = 0.5


class Task(Protocol):
    """Something to be done for a reader; `follows`: it belongs to what they asked before. `run` raises nothing."""

    @property
    def reader(self) -> str: ...

    @property
    def follows(self) -> bool: ...

    def run(self) -> None: ...


T = TypeVar("T", bound=Task)


@dataclass
class _Turn:
    """Seconds that a reader may still use (or owes), and when they last used some."""

    left: float
    since: float


class Line(Generic[T]):
    """First come, first served for one reader; round-robin between readers, in turns of `turn` seconds. Not
    thread-safe."""

    def __init__(self, turn: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._turn = turn
        self._clock = clock
        self._readers: OrderedDict[str, deque[T]] = OrderedDict()  # whose turn comes first stands first
        self._turns: OrderedDict[str, _Turn] = OrderedDict()
        self._begins: set[str] = set()  # those whose next task begins a turn
        self._length = 0

    def put(self, task: T) -> None:
        reader = task.reader
        if reader not in self._readers:
            self._readers[reader] = deque()
            if self._goes_on(task):
                self._readers.move_to_end(reader, last=False)
            else:
                self._begins.add(reader)
        self._readers[reader].append(task)
        self._length += 1

    def take(self) -> T | None:
        """The next one. A reader whose turn is over goes to the end, and has a new one there."""
        while self._readers:
            for reader in list(self._readers):
                turn = self._turns[reader]
                if reader in self._begins:
                    self._begins.remove(reader)
                    turn.left = min(0.0, turn.left) + self._turn
                if turn.left > 0:
                    return self._first_of(reader)
                self._ends(reader)
            # everybody still owes: as many rounds at once as the one who owes least has to wait
            least = max(self._turns[reader].left for reader in self._readers)
            for reader in self._readers:
                self._turns[reader].left += self._turn * (-least // self._turn)
        return None

    def _first_of(self, reader: str) -> T:
        own = self._readers[reader]
        task = own.popleft()
        if not own:
            del self._readers[reader]
        elif not own[0].follows:
            self._ends(reader)
        self._length -= 1
        return task

    def _ends(self, reader: str) -> None:
        """A turn is over."""
        self._begins.add(reader)
        self._readers.move_to_end(reader)

    def charge(self, task: T, seconds: float) -> None:
        """What a task took of its reader's turn."""
        turn = self._turns.get(task.reader)
        if turn is not None:
            turn.left -= seconds
            turn.since = self._clock()

    def leave(self, task: T) -> bool:
        """Takes it out; whether it was still there."""
        own = self._readers.get(task.reader)
        if own is None or task not in own:
            return False
        own.remove(task)
        self._length -= 1
        if not own:
            del self._readers[task.reader]
            self._begins.discard(task.reader)
        return True

    def of(self, reader: str) -> int:
        """How much of one reader's waits."""
        return len(self._readers.get(reader, ()))

    def __len__(self) -> int:
        return self._length

    def _goes_on(self, task: T) -> bool:
        """Whether this is still of its reader's turn. Else a new one begins, less what is owed (time repays it)."""
        reader = task.reader
        now = self._clock()
        turn = self._turns.get(reader)
        if turn is None:
            self._turns[reader] = _Turn(0.0, now)
            while len(self._turns) > max(KNOWN, len(self._readers)):
                self._forget()
            return False
        self._turns.move_to_end(reader)
        idle = now - turn.since
        if task.follows and turn.left > 0 and idle <= OPEN:
            return True
        turn.left = min(0.0, turn.left + idle)
        turn.since = now
        return False

    def _forget(self) -> None:
        """The reader who came longest ago, of those who do not wait."""
        for reader in self._turns:
            if reader not in self._readers:
                del self._turns[reader]
                return


class Crew(Generic[T]):
    """A few threads that work a line off. They take the next task themselves, so that none is idle while the event
    loop is busy."""

    def __init__(self, workers: int, turn: float) -> None:
        self._workers = workers
        self._working = 0
        self._line: Line[T] = Line(turn)
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
            started = time.perf_counter()
            task.run()
            with self._lock:
                self._line.charge(task, time.perf_counter() - started)

    def _next(self) -> T | None:
        with self._lock:
            task = self._line.take()
            if task is None:
                self._working -= 1
            return task
