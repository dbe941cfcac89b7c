"""The benchmark of a class sees a wrong answer when there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import cutaway
from benchmarks.classroom import READERS, compared, phrase, rows
from cutaway import framing
from cutaway.server.app import create_app
from tests.support.spelling import write_tiny_speller

TEXTS = ["first", "third", "second"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> cutaway.Model:
    folder = tmp_path_factory.mktemp("models") / "speller"
    write_tiny_speller(folder)
    return cutaway.load(folder)


@pytest.fixture
def answers(model: cutaway.Model, tmp_path: Path) -> list[dict[str, Any]]:
    found = []
    with TestClient(create_app({"m": model}, port=8765), base_url="http://127.0.0.1:8765") as client:
        for text in TEXTS:
            made = client.post("/api/traces", json={"model": "m", "text": text}).json()
            (tmp_path / text).write_bytes(client.get(f"/api/traces/{made['id']}/overview?bins=8").content)
            found.append({"text": text, "made": made, "frame": text, "how": "typed", "seconds": 1.0})
    return found


def test_right_answers_are_right(model: cutaway.Model, answers: list[dict[str, Any]], tmp_path: Path) -> None:
    assert list(compared(model, answers, tmp_path)) == []


def test_wrong_ones_are_seen(model: cutaway.Model, answers: list[dict[str, Any]], tmp_path: Path) -> None:
    first = (tmp_path / "first").read_bytes()
    tensors, metadata = framing.unpack(first, "first")
    told = metadata["next"].replace('"logit":', '"logit":1', 1)
    for change in (
        lambda: answers[0].update(made=answers[1]["made"]),
        lambda: answers[0].update(text="firsT"),
        lambda: (tmp_path / "first").write_bytes((tmp_path / "third").read_bytes()),
        lambda: (tmp_path / "first").write_bytes(framing.pack(tensors, {**metadata, "next": told})),
    ):
        before = dict(answers[0])
        change()
        assert len(list(compared(model, answers, tmp_path))) == 1
        answers[0].clear()
        answers[0].update(before)
        (tmp_path / "first").write_bytes(first)


def test_no_two_readers_type_the_same() -> None:
    texts = {"".join(phrase(reader, turn))[:-at] for reader in range(READERS) for turn in range(4) for at in (1, 2)}
    assert len(texts) == READERS * 4 * 2


def test_what_is_lost_refused_or_late_misses() -> None:
    class Memory:
        grown, seen = 0, [1]

    def met(count: int = 4, seconds: float = 1.0, errors: int = 0, differs: int = 0, **statuses: int) -> list[bool]:
        answers = [{"how": how, "seconds": seconds} for how in ("typed", "hurried") * (count // 2)]
        got = {"answers": answers, "errors": ["x"] * errors, "statuses": statuses}
        return [each["met"] for each in rows(got, ["x"] * differs, Memory(), 1.0, 4)]  # type: ignore[arg-type]

    assert met() == [True] * 6
    assert met(errors=1)[0] is False and met(**{"503": 1})[0] is False
    assert met(count=2)[1] is False and met(differs=1)[2] is False
    assert met(seconds=2.1)[3:5] == [False, False]
