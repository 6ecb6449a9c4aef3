"""That a network is a static graph: it compiles whole, trains compiled, and exports for any batch."""

from __future__ import annotations

import copy

import torch
from torch import nn


def assert_compiles(model: nn.Module, images: torch.Tensor, backend: str = "eager") -> None:
    torch._dynamo.reset()
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(images), model(images), rtol=1e-4, atol=1e-4)


def assert_trains_compiled(model: nn.Module, images: torch.Tensor) -> None:
    plain = copy.deepcopy(model).train()
    twin = copy.deepcopy(plain)
    torch._dynamo.reset()
    for network in (plain, torch.compile(twin, backend="aot_eager", fullgraph=True)):
        network(images).square().mean().backward()
    for a, b in zip(plain.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-4)


def assert_exports_for_any_batch(
    model: nn.Module, images: torch.Tensor, rtol: float | None = None, atol: float | None = None
) -> None:
    batch = torch.export.Dim("batch", min=1, max=8)
    exported = torch.export.export(model, (images,), dynamic_shapes=({0: batch},)).module()
    five = torch.randn(5, *images.shape[1:])
    with torch.no_grad():
        torch.testing.assert_close(exported(five), model(five), rtol=rtol, atol=atol)
