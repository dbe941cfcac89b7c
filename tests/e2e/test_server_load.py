"""Twenty readers type at once into a server of its own process: each gets the answer to its last keystroke, none gets
a wrong one, and the server's memory stays where it was."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import cutaway
from cutaway.wire.frames import read_frame
from tests.support.serving import serving
from tests.support.spelling import write_tiny_speller

READERS, KEYSTROKES, ROUNDS = 20, 12, 3
SENTENCE = "The quick brown fox jumps over the lazy dog while nobody looks"
CACHE_MB = 4
# What may come and go between rounds: buffers, pools, the allocator's own ways. A leak of one trace in ten would
# come to more.
SLACK = 12 << 20


class Reader:
    """One tab: types a text of its own, letter by letter, faster than it is answered; some keystrokes are given up on
    by the browser, some are left for the server to drop."""

    def __init__(self, number: int, url: str) -> None:
        self.number = number
        self.random = random.Random(number)
        self.client = httpx.AsyncClient(base_url=url, timeout=30, limits=httpx.Limits(max_connections=6))
        self.seq = 0
        self.statuses: Counter[int] = Counter()

    async def types(self, text: str) -> dict[str, Any]:
        """The answer to the last keystroke."""
        under_way: list[asyncio.Task[httpx.Response]] = []
        for length in range(len(text) - KEYSTROKES + 1, len(text) + 1):
            if under_way and self.random.random() < 0.4:
                under_way[-1].cancel()
            self.seq += 1
            under_way.append(asyncio.create_task(self.asks(text[:length], self.seq)))
            await asyncio.sleep(self.random.uniform(0, 0.02))
        *earlier, last = await asyncio.gather(*under_way, return_exceptions=True)
        for answer in earlier:
            if isinstance(answer, httpx.Response):
                self.statuses[answer.status_code] += 1
                assert answer.status_code in (200, 409), answer.text
            else:
                assert isinstance(answer, asyncio.CancelledError), answer
        assert isinstance(last, httpx.Response), last
        assert last.status_code == 200, last.text
        return dict(last.json())

    async def asks(self, text: str, seq: int) -> httpx.Response:
        while True:
            body = {"model": "speller", "text": text, "client": f"reader {self.number}", "seq": seq}
            answer = await self.client.post("/api/traces", json=body)
            if answer.status_code != 503:
                return answer
            self.statuses[503] += 1
            await asyncio.sleep(0.1)

    async def sees(self, made: dict[str, Any], text: str, model: cutaway.Model) -> None:
        """What the page draws is what the engine says of this very text."""
        assert made["text"] == text
        here = f"/api/traces/{made['id']}"
        frame, following = await asyncio.gather(
            self.client.get(f"{here}/overview?bins=8"), self.client.get(f"{here}/next?k=5&temperature=0")
        )
        while 410 in (
            frame.status_code,
            following.status_code,
        ):  # evicted by the others: made again, as the page does
            made = (await self.asks(text, self.seq)).json()
            frame = await self.client.get(f"{here}/overview?bins=8")
            following = await self.client.get(f"{here}/next?k=5&temperature=0")
        trace = model.trace(text)
        stripes, metadata = read_frame(frame.content)
        last = f"blocks.{model.config.n_layer - 1}.resid_post"
        index = stripes[f"{last}#index"].astype(int)
        np.testing.assert_allclose(np.take_along_axis(trace[last], index, -1), stripes[last], rtol=1e-3, atol=1e-4)
        logits = [each.logit for each in trace.next_tokens(5)]
        np.testing.assert_allclose(
            [each["logit"] for each in following.json()["candidates"]], logits, rtol=1e-3, atol=1e-4
        )
        assert following.json()["position"] == len(trace) - 1
        assert metadata["next"]["candidates"][0]["logit"] == pytest.approx(logits[0], rel=1e-3)  # type: ignore[index]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "speller"
    # wide enough that a keystroke takes longer than the pause before the next
    write_tiny_speller(folder, n_layer=6, d_model=128, d_mlp=384, d_head=32, n_ctx=128)
    return folder


def test_twenty_readers_type_at_once(folder: Path) -> None:
    model = cutaway.load(folder)
    with serving(folder, "--cache-mb", str(CACHE_MB)) as served:
        resident: list[int] = []
        statuses: Counter[int] = Counter()

        async def load() -> None:
            readers = [Reader(number, served.url) for number in range(READERS)]
            for round_ in range(ROUNDS):
                texts = [f"{SENTENCE} {reader.number} {round_}." for reader in readers]
                answers = await asyncio.gather(
                    *(reader.types(text) for reader, text in zip(readers, texts, strict=True))
                )
                seen = zip(readers, answers, texts, strict=True)
                await asyncio.gather(*(reader.sees(answer, text, model) for reader, answer, text in seen))
                resident.append(served.resident_bytes)
            for reader in readers:
                statuses.update(reader.statuses)
                await reader.client.aclose()

        asyncio.run(load())
        assert statuses[409] > 0, "nothing was overtaken, so this was no load"
        assert resident[-1] - resident[0] < SLACK, [each >> 20 for each in resident]
        assert httpx.get(f"{served.url}api/health").status_code == 200
        assert served.process.poll() is None and served.said_on_stderr == ""
