"""Arrays of another library flow through the same equations: values and gradients of PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from cutaway.models.forward import forward, unembed
from cutaway.parameters import Parameters
from tests.support.tiny import SHAPES, some_ids, tiny_model

pytestmark = pytest.mark.yardstick


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_torch_arrays_give_the_same_numbers_and_gradients(shape: str) -> None:
    import torch

    model = tiny_model(shape)
    ids = some_ids(9)

    def as_torch(name: str) -> torch.Tensor:
        return torch.from_numpy(np.array(model.parameters.array(name))).requires_grad_()

    w = Parameters(model.config, as_torch)
    logits = unembed(model.config, w, forward(model.config, w, torch.tensor(ids)))
    theirs = logits.detach().numpy()
    ours = model.trace(ids)["logits"]
    assert theirs.dtype == np.float32
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(ours).max()

    logits[-1].logsumexp(0).backward()
    gradient = w.array("blocks.0.attn.W_Q").grad
    assert gradient is not None and torch.isfinite(gradient).all() and gradient.abs().max() > 0
