"""The merge of two branches: the same sum on every way, in place only where nobody can notice."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from greenadapt.zoo.bl_stages import Branches

FORMATS = [torch.contiguous_format, torch.channels_last]


def branches(little: nn.Sequential | None = None) -> Branches:
    torch.manual_seed(0)
    made = Branches(
        nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1)),
        little or nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)),
        4,
        8,
        nn.ReLU(inplace=True),
    )
    nn.init.normal_(made.expand[1].running_mean)
    return made.eval()


def plain(made: Branches, x: Tensor) -> Tensor:
    little = made.expand(made.little(x))
    return F.relu(F.interpolate(made.big(x), size=little.shape[2:], mode="nearest") + little)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("size", [(8, 8), (9, 9), (7, 8), (16, 6), (1, 2), (57, 57)])
def test_sum_is_the_same_to_the_last_bit(size: tuple[int, int], layout: torch.memory_format) -> None:
    made = branches().to(memory_format=layout)
    x = torch.randn(2, 3, *size).to(memory_format=layout)
    with torch.no_grad():
        found = made(x)
        assert torch.equal(found, plain(made, x))
        assert found.is_contiguous(memory_format=layout)
    with torch.inference_mode():
        assert torch.equal(made(x), found)
    assert torch.equal(made(x).detach(), found), "with gradients"


@pytest.mark.parametrize("frozen", ["big", "little", None])
def test_gradients_are_those_of_the_plain_sum(frozen: str | None) -> None:
    made = branches().train()
    for name, p in made.named_parameters():
        p.requires_grad_(
            frozen is None or not name.startswith((frozen, "expand" if frozen == "little" else frozen))
        )
    x = torch.randn(2, 3, 8, 8)
    wanted = [p for p in made.parameters() if p.requires_grad]
    found = torch.autograd.grad(made(x).square().sum(), wanted)
    for a, b in zip(found, torch.autograd.grad(plain(made, x).square().sum(), wanted), strict=True):
        torch.testing.assert_close(a, b)


def test_input_and_big_branch_are_left_alone() -> None:
    made = branches()
    kept: list[Tensor] = []
    made.big.register_forward_hook(lambda _, __, y: kept.extend([y, y.clone()]))
    x = torch.randn(2, 3, 8, 8)
    before = x.clone()
    with torch.no_grad():
        made(x)
    assert torch.equal(x, before)
    assert torch.equal(*kept)


class Gives(nn.Module):
    """Gives always the same."""

    def __init__(self, given):
        super().__init__()
        self.given = given

    def forward(self, _):
        return self.given


def test_sum_makes_no_tensor_at_full_resolution() -> None:
    big, little = torch.randn(2, 64, 16, 16), torch.randn(2, 64, 32, 32)
    made = branches()
    made.big, made.little = nn.Sequential(Gives(big)), nn.Sequential()
    made.expand = nn.Sequential(Gives(little))
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        out = made(torch.zeros(1))
    taken = sum(max(0, event.self_cpu_memory_usage) for event in seen.events())
    assert taken < little.nbytes / 2
    assert out.data_ptr() == little.data_ptr()


def test_mixed_precisions_give_what_a_sum_of_them_gives() -> None:
    made = branches()
    made.big.register_forward_hook(lambda _, __, y: y.bfloat16())
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(made(x), plain(made, x))


def test_is_traced_by_torch_fx() -> None:
    made = branches()
    traced = torch.fx.symbolic_trace(made)
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(traced(x), made(x))
        odd = torch.randn(2, 3, 9, 9)
        assert torch.equal(traced(odd), made(odd))


def test_is_traced_by_torchscript() -> None:
    made = branches()
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        traced = torch.jit.trace(made, x)
        assert torch.equal(traced(x), made(x))
