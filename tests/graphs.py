"""What a static graph allows, asserted: one compiled graph, exports for any batch, every usual format."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn


def assert_compiles(model: nn.Module, images: torch.Tensor, backend: str = "eager") -> None:
    """As one graph, without a break, and with the same logits."""
    from torch._dynamo.testing import CompileCounterWithBackend

    torch._dynamo.reset()
    graphs = CompileCounterWithBackend(backend)
    compiled = torch.compile(model, backend=graphs, fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(images), model(images), rtol=1e-4, atol=1e-4)
    assert graphs.frame_count == 1


def assert_trains_compiled(model: nn.Module, images: torch.Tensor) -> None:
    plain = copy.deepcopy(model).train()
    twin = copy.deepcopy(plain)
    torch._dynamo.reset()
    for network in (plain, torch.compile(twin, backend="aot_eager", fullgraph=True)):
        network(images).square().mean().backward()
    for a, b in zip(plain.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-4)


def assert_exports_for_any_batch(
    model: nn.Module,
    images: torch.Tensor,
    rtol: float | None = None,
    atol: float | None = None,
    strict: bool = False,
) -> None:
    """Strictly is through dynamo."""
    exported = torch.export.export(model, (images,), dynamic_shapes=_any_batch(), strict=strict).module()
    five = torch.randn(5, *images.shape[1:])
    with torch.no_grad():
        torch.testing.assert_close(exported(five), model(five), rtol=rtol, atol=atol)


def assert_onnx_gives_the_same_logits(model: nn.Module, images: torch.Tensor) -> None:
    """For any batch, as ONNX Runtime computes them."""
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    buffer = io.BytesIO()
    torch.onnx.export(model, (images,), dynamo=True, dynamic_shapes=_any_batch(), verbose=False).save(buffer)
    session = runtime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    five = torch.randn(5, *images.shape[1:])
    (got,) = session.run(None, {session.get_inputs()[0].name: five.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(got), model(five), rtol=1e-3, atol=1e-3)


def assert_stays_channels_last(model: nn.Module, images: torch.Tensor) -> None:
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    x = images.to(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(last(x), model(images), rtol=1e-4, atol=1e-4)
        features = last.forward_intermediates(x, intermediates_only=True)
    assert all(f.is_contiguous(memory_format=torch.channels_last) for f in features)


def assert_runs_in_bf16(model: nn.Module, images: torch.Tensor, weights_too: bool = False) -> None:
    """Under autocast, or with weights of that precision."""
    with torch.no_grad():
        want = model(images)
        if weights_too:
            got = copy.deepcopy(model).bfloat16()(images.bfloat16())
        else:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                got = model(images)
    assert got.dtype == torch.bfloat16
    assert (got.float() - want).abs().max() < 0.1 * want.abs().max() + 0.05


def assert_trains_in_mixed_precision(
    model: nn.Module, images: torch.Tensor, dtype: torch.dtype = torch.bfloat16, agreement: float = 0.99
) -> None:
    """float16 has its losses scaled, as in practice; `agreement` is a cosine of gradients."""
    # Norms over a few pixels would magnify the rounding, so the gradients are compared without them.
    plain, mixed = (copy.deepcopy(model).eval() for _ in range(2))
    plain(images).square().mean().backward()
    _mixed_backward(mixed, images, dtype)
    for (name, a), b in zip(plain.named_parameters(), mixed.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), name
    assert torch.cosine_similarity(_gradient(plain), _gradient(mixed), dim=0) > agreement
    trained = copy.deepcopy(model).train()
    _mixed_backward(trained, images, dtype)
    assert _gradient(trained).isfinite().all()
    assert any(not torch.equal(a, b) for a, b in zip(trained.parameters(), model.parameters(), strict=True))


def _mixed_backward(model: nn.Module, images: torch.Tensor, dtype: torch.dtype) -> None:
    """A step of training, after which the gradients are still there."""
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-2)
    optimiser.zero_grad()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8, enabled=dtype is torch.float16)
    with torch.autocast("cpu", dtype=dtype):
        loss = model(images).float().square().mean()
    scaler.scale(loss).backward()
    scaler.step(optimiser)


def _gradient(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.double().flatten() for p in model.parameters() if p.grad is not None])


def assert_checkpointing_changes_no_gradient(model: nn.Module, images: torch.Tensor) -> None:
    gradients = []
    for enable in (False, True):
        twin = copy.deepcopy(model)
        twin.set_grad_checkpointing(enable)
        twin.train().apply(lambda m: m.eval() if isinstance(m, nn.Dropout) else None)
        torch.manual_seed(0)
        twin(images).square().mean().backward()
        gradients.append([p.grad for p in twin.parameters() if p.grad is not None])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed, rtol=1e-4, atol=1e-5)


def _any_batch() -> tuple[dict[int, object]]:
    return ({0: torch.export.Dim("batch", min=1, max=8)},)
