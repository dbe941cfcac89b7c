"""What the shell offers when Tab is pressed: models and sites. Offline, and silent when anything is amiss."""

from __future__ import annotations

import contextlib

from cutaway.errors import CutawayError


def complete_model(incomplete: str) -> list[str]:
    """Catalog names, and what else is on this machine."""
    from cutaway.weights.catalog import CATALOG, local_models

    names = dict.fromkeys(CATALOG)
    with contextlib.suppress(CutawayError, OSError):
        names |= dict.fromkeys(each.name for each in local_models())
    return [name for name in names if name.startswith(incomplete)]


def complete_site(incomplete: str) -> list[str]:
    """Sites of the default model (most models share their names), a block's once its number is typed."""
    from cutaway.analysis.presets import model_shape
    from cutaway.config import ModelConfig
    from cutaway.sites import declared
    from cutaway.weights.catalog import DEFAULT

    shape = model_shape(DEFAULT)
    assert isinstance(shape, ModelConfig)
    names = [name for name in declared(shape) if name.startswith(incomplete)]
    if len({name.split(".")[1] for name in names if name.startswith("blocks.")}) > 1:
        return list(dict.fromkeys(name if name[:7] != "blocks." else "blocks." for name in names))
    return names
