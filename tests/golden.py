"""Golden logits: weights and input drawn from the tensors' names, so that no weight file is needed.

Every tensor of the state dict is drawn from its own generator, seeded by the CRC-32 of its name; whatever the
order of the tensors, a network with the same names and shapes gets the same float64 numbers, to the last bit.
"""

import json
import math
import zlib
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)

_GOLDEN = Path(__file__).parent / "data" / "golden"


def _draw(name: str, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float64]]:
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape)
    if name.endswith("running_mean"):
        return rng.normal(0.0, 0.1, shape)
    if len(shape) == 1:
        return rng.uniform(0.2, 0.6, shape) if name.endswith(".weight") else rng.normal(0.0, 0.1, shape)
    return rng.normal(0.0, math.sqrt(2.0 / math.prod(shape[1:])), shape)


def drawn(name: str, shape: tuple[int, ...]) -> Tensor:
    """The float64 tensor of that name and shape."""
    return torch.from_numpy(np.asarray(_draw(name, shape)))


def seed_weights(model: Model) -> Model:
    """Turn the model to float64 and eval mode and draw every tensor from its name; returns the model."""
    model.double().eval()
    state = {
        name: drawn(name, tuple(tensor.shape)) if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model


def golden_input(size: int, in_chans: int = 3) -> Tensor:
    """Two images [2, in_chans, size, size] in float64, the same for every golden."""
    return torch.from_numpy(np.random.RandomState(1).normal(0.0, 1.0, (2, in_chans, size, size)))


def load_golden(name: str) -> dict[str, Any]:
    """The reference values of ``name`` ("bd" for BlockDrop, "bl" for Big-Little), by case."""
    golden: dict[str, Any] = json.loads((_GOLDEN / f"{name}.json").read_text())
    return golden


def assert_golden(logits: Tensor, expected: dict[str, Any], rel: float = 1e-9) -> None:
    """Compare logits [2, classes] with a case of `load_golden`, relative to the largest logit seen."""
    assert list(logits.shape) == expected["shape"]
    scale = logits.abs().max().item()
    for row in (0, 1):
        want = torch.tensor(expected[f"row{row}_first6"], dtype=torch.float64)
        assert (logits[row, :6] - want).abs().max().item() <= rel * scale
    for got, key in ((logits.norm(), "l2"), (logits.mean(), "mean"), (logits.std(unbiased=False), "std")):
        assert math.isclose(got.item(), expected[key], rel_tol=rel, abs_tol=rel * scale), key
    assert logits.argmax(1).tolist() == expected["argmax"]
