"""What is expected before training: numbers that add up, and a policy that cannot pay is told."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace

import pytest
import torch

import greenadapt
from greenadapt.adapters.blockdrop.parts import BlockCost, Parts
from greenadapt.adapters.blockdrop.payback import judge, payback
from greenadapt.adapters.side_by_side import SideBySide, side_by_side
from greenadapt.adapters.timing import rounds
from greenadapt.counting import counting
from greenadapt.errors import ModelError
from greenadapt.testing import awake

# Ten blocks that save 4 to 13 ms, 8.5 on average; they and a rest of 15 ms make 100 ms.
PARTS = Parts(
    device="cpu",
    threads=1,
    batch_size=1,
    image=(3, 32, 32),
    rounds=9,
    spread=0.02,
    whole_seconds=0.100,
    none_seconds=0.015,
    policy_seconds=0.012,
    path_seconds=None,
    whole_macs=100_000,
    policy_macs=9_000,
    blocks=tuple(BlockCost(f"b{i}", 0.005 + 0.001 * i, 0.001, 9_000, 500) for i in range(10)),
    kept=None,
)


def test_savings_are_what_the_blocks_save_less_the_policy():
    found = judge(PARTS, 0.5)
    half = next(saving for saving in found.savings if saving.keep == 0.5)
    assert [saving.keep for saving in found.savings] == [0.7, 0.5, 0.3]
    assert half.dropped == 5
    assert half.time == pytest.approx((5 * 8.5 - 12) / 100)
    assert half.time_at_most == pytest.approx((13 + 12 + 11 + 10 + 9 - 12) / 100)
    assert half.flops == half.flops_at_most == pytest.approx((5 * 8_500 - 9_000) / 100_000)
    assert PARTS.unaccounted == pytest.approx(0)
    assert (found.blocks_to_pay_time, found.blocks_to_pay_time_at_least) == (2, 1)
    assert (found.blocks_to_pay_flops, found.blocks_to_pay_flops_at_least) == (2, 2)
    assert found.pays
    assert "will not pay" not in str(found)
    assert judge(PARTS, 0.6).savings[1].keep == 0.6


def test_a_dear_policy_will_not_pay():
    # Nine of ten blocks, the dearest, save 81 ms: that is what a policy may cost.
    assert judge(replace(PARTS, policy_seconds=0.080), 0.5).blocks_to_pay_time_at_least == 9
    found = judge(replace(PARTS, policy_seconds=0.082), 0.5)
    assert (found.blocks_to_pay_time, found.blocks_to_pay_time_at_least) == (None, None)
    assert not found.pays
    assert "In time it will not pay here" in str(found)
    assert "In FLOPs the policy has paid for itself once it drops 2 of 10" in str(found)
    assert all(saving.time < 0 for saving in found.savings)


def test_a_network_of_one_block_will_not_pay():
    assert not judge(replace(PARTS, blocks=PARTS.blocks[:1]), 0.5).pays


def test_times_that_do_not_add_up_are_said():
    assert "not to be trusted" in str(judge(replace(PARTS, whole_seconds=0.2), 0.5))
    assert "not to be trusted" not in str(judge(PARTS, 0.5))
    assert "something else is running" in str(judge(replace(PARTS, spread=0.4), 0.5))


@pytest.fixture(scope="module")
def model():
    return greenadapt.wrap(awake("cifar_resnet14"), "blockdrop", keep=0.4)


def test_the_parts_of_a_network_are_those_that_it_computes(model):
    base = awake("cifar_resnet14")
    with counting(base) as counter:
        base(torch.zeros(1, 3, 32, 32))
    parts = payback(model, 2, budget_seconds=0.2).parts
    assert parts.whole_macs == counter.macs
    assert parts.policy_macs == model.greenadapt_policy.macs
    assert [block.name for block in parts.blocks] == [f"layer{s}.{b}" for s in (1, 2, 3) for b in range(2)]
    head = 64 * 10 + 32 * 32 * 27 * 16
    assert parts.whole_macs - sum(block.saved_macs for block in parts.blocks) == head
    assert all(block.seconds > 0 for block in parts.blocks)
    assert (parts.batch_size, parts.image) == (2, (3, 32, 32))


def test_it_leaves_the_model_and_the_random_numbers_as_they_were(model):
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    payback(model, budget_seconds=0.05)
    assert torch.equal(torch.rand(1), expected)
    assert model.training
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    model.eval()


def test_a_policy_made_slow_is_found_out():
    slow = greenadapt.wrap(awake("cifar_resnet8"), "blockdrop", keep=0.5)
    slow.greenadapt_policy.register_forward_hook(lambda *_: time.sleep(0.1))
    found = payback(slow, budget_seconds=0.2)
    assert found.parts.policy_seconds >= 0.1
    assert not found.pays
    assert "In time it will not pay here" in str(found)
    assert found.blocks_to_pay_flops is not None


def test_a_fixed_path_has_no_policy_to_pay():
    fixed = greenadapt.wrap(awake("cifar_resnet14"), "blockdrop", keep=0.5, policy="spread")
    found = payback(fixed, budget_seconds=0.2)
    assert (found.parts.policy_seconds, found.parts.policy_macs) == (0.0, 0)
    assert (found.blocks_to_pay_time, found.blocks_to_pay_flops) == (0, 0)
    gone = [b for b, keep in zip(found.parts.blocks, found.parts.kept, strict=True) if not keep]
    assert found.path_flops == pytest.approx(sum(b.saved_macs for b in gone) / found.parts.whole_macs)
    assert "keeps 3 of 6 blocks" in str(found)
    whole = payback(greenadapt.wrap(awake("cifar_resnet8"), "blockdrop", keep=1.0), budget_seconds=0.05)
    assert "saves nothing as it is" in str(whole)


def test_it_is_plain_data(model):
    found = payback(model, budget_seconds=0.05)
    content = json.loads(json.dumps(asdict(found)))
    assert content["savings"][-1]["keep"] == 0.3
    assert content["parts"]["whole_macs"] == found.parts.whole_macs


def test_a_plain_network_has_no_blocks_to_drop():
    with pytest.raises(ModelError, match="not under BlockDrop"):
        payback(awake("cifar_resnet8"))


def test_rounds_go_forth_and_back():
    order = []

    def step(name):
        def run():
            order.append(name)
            return {name: 1.0}

        return run

    found = rounds([step("a"), step("b")], budget_seconds=0)
    assert order == [*"ab", *"ab", *"ba"]
    assert found == {"a": [1.0, 1.0], "b": [1.0, 1.0]}


def test_a_retrofit_beside_its_base_is_slower_or_faster_as_it_is():
    base, slow = awake("cifar_resnet8"), awake("cifar_resnet14")
    slow.register_forward_hook(lambda *_: time.sleep(0.05))
    found = side_by_side(base, slow, 2, budget_seconds=0.3)
    assert not found.pays
    assert "will not pay here" in str(found)
    assert found.macs > found.base_macs
    assert found.flops_saved == pytest.approx(1 - found.macs / found.base_macs)
    turned = side_by_side(slow, base, 2, budget_seconds=0.3)
    assert turned.pays
    assert turned.time_saved > 0


@pytest.mark.parametrize(
    ("time_saved", "spread", "said"),
    [
        (-0.3, 0.02, "It will not pay here: it takes 30.0 % more time than its base."),
        (
            -0.3,
            0.4,
            "Nothing says that it pays here: it takes 30.0 % more time than its base, less than the ",
        ),
        (0.3, 0.02, "It saves 30.0 % of the time."),
        (0.3, 0.4, "It saves 30.0 % of the time, less than the times vary (40 %, quartiles)."),
    ],
)
def test_a_verdict_that_the_times_do_not_carry_says_so(time_saved, spread, said):
    told = str(
        SideBySide(
            "cpu", 2, 1, (3, 32, 32), 3, spread, 1.0, 1 - time_saved, 9, 8, time_saved, 0.1, time_saved > 0
        )
    )
    assert said in told
    assert ("something else is running" in told) == (spread > 0.1)
