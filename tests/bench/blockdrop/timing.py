"""Networks, policies that decide what they are told, and times side by side.

    round      plain  a  b  b  a  plain      a palindrome: drift of the clock or the heat cancels
    ratio      of a cell: median over its rounds of (time of a, both passes) / (time of plain, both passes)

Weights are random: time does not depend on them, accuracy is no matter here. Plain network, its twin and the
retrofit hold the same tensors: two copies of one network differ by one or two per cent, by nothing but where
their weights lie in memory. FLOPs are 2 x multiply-adds, as `greenadapt.counting` counts them.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from scipy.stats import binom
from torch import Tensor, nn

import greenadapt
from greenadapt.adapters.execution import OnePath, under
from greenadapt.adapters.sharing import shared_copy
from greenadapt.counting import counting
from greenadapt.testing import awake

SIZE = 224


class Told(nn.Module):
    """A policy network that is run, and whose answer then is replaced by a table.

    Args:
        policy: The real one; None to leave it out of the time.
    """

    def __init__(self, policy: nn.Module | None) -> None:
        super().__init__()
        self.policy = policy
        self.table = torch.empty(0)

    def forward(self, images: Tensor) -> Tensor:
        """The table as probabilities, [B, K]."""
        if self.policy is not None:
            self.policy(images)
        return self.table


class Subject:
    """A network, itself under BlockDrop, and what both compute, all on channels_last.

    Args:
        name: timm name.
        seed: Of the weights.
    """

    def __init__(self, name: str, seed: int) -> None:
        torch.manual_seed(seed)
        self.name = name
        self.plain: Any = awake(name).eval().to(memory_format=torch.channels_last)
        self.twin: Any = shared_copy(self.plain)
        self.model: Any = greenadapt.wrap(shared_copy(self.plain), "blockdrop", inplace=True, keep=0.5)
        self.model.eval().to(memory_format=torch.channels_last)
        self.policy = self.model.greenadapt_policy
        self.blocks: int = self.model.greenadapt_blocks
        one = images(1, seed)
        self.policy_flops = flops(lambda: self.policy(one))
        self.flops = flops(lambda: self.plain(one))
        self.block_flops = [self.flops - flops(lambda k=k: self._without(k, one)) for k in range(self.blocks)]

    def tell(self, table: Tensor, with_policy: bool = True, execution: str = "auto") -> Any:
        """The retrofit under this table, [B, K]."""
        self.model.greenadapt_policy = Told(self.policy if with_policy else None)
        self.model.greenadapt_policy.table = table.float()
        self.model.greenadapt_config = dataclasses.replace(self.model.greenadapt_config, execution=execution)
        return self.model

    def flops_ratio(self, table: Tensor) -> float:
        """FLOPs of a batch under this table over those of the plain network, policy included."""
        dropped = ((~table).double() @ torch.tensor(self.block_flops, dtype=torch.float64)).mean()
        return float(1 - dropped / self.flops + self.policy_flops / self.flops)

    def _without(self, block: int, one: Tensor) -> None:
        with under(OnePath([index != block for index in range(self.blocks)])):
            self.model(one)


def images(batch: int, seed: int) -> Tensor:
    """Normal noise, [batch, 3, 224, 224], channels_last."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(batch, 3, SIZE, SIZE, generator=generator)
    return drawn.contiguous(memory_format=torch.channels_last)


def policy_mix(batch: int, blocks: int, paths: int, seed: int) -> Tensor:
    """bool, [batch, blocks]: as many random paths as asked for, each keeping half of the blocks.

    The samples of a path are spread over the batch, and all of the paths are different where that can be.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn: dict[tuple[bool, ...], None] = {}
    while len(drawn) < paths:
        ranks = torch.randperm(blocks, generator=generator)
        drawn[tuple((ranks < blocks // 2).tolist())] = None
    rows = torch.arange(batch)[torch.randperm(batch, generator=generator)] % paths
    return torch.tensor(list(drawn))[rows]


def flops(call: Callable[[], Any]) -> int:
    """2 x multiply-adds of a call."""
    with counting() as counter:
        call()
        return 2 * counter.macs


def rounds(calls: Mapping[str, Callable[[], Any]], count: int) -> dict[str, list[float]]:
    """Seconds of each call in each round, both passes of the palindrome together."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode():
        for call in calls.values():
            call()  # Costs are measured and memory is warm before the first round.
        for number in range(count):
            order = list(calls) if number % 2 == 0 else list(calls)[::-1]
            seconds = dict.fromkeys(calls, 0.0)
            for name in (*order, *order[::-1]):
                begun = time.perf_counter()
                calls[name]()
                seconds[name] += time.perf_counter() - begun
            for name, sum_of_two in seconds.items():
                found[name].append(sum_of_two)
    return found


def ratio(found: Mapping[str, Sequence[float]], of: str, to: str = "plain") -> float:
    """Median over the rounds of one call's time over another's."""
    return statistics.median(one / other for one, other in zip(found[of], found[to], strict=True))


def interval(found: Mapping[str, Sequence[float]], of: str, to: str = "plain") -> tuple[float, float]:
    """Interval of that median at 95 % or more, from order statistics; the extremes of few rounds."""
    ratios = sorted(one / other for one, other in zip(found[of], found[to], strict=True))
    outside = int(binom.ppf(0.025, len(ratios), 0.5))
    low = max(0, outside - 1)
    return ratios[low], ratios[-1 - low]


def in_portions(model: nn.Module, images: Tensor, portion: int) -> Tensor:
    """Logits of a batch that is run so many images at a time."""
    return torch.cat([model(part) for part in images.split(portion)])


def best_portion(model: nn.Module, images: Tensor) -> int:
    """The portion in which a network gets through a batch soonest: all of it, or it halved down to two."""
    sizes = [len(images) // 2**halvings for halvings in range(len(images).bit_length() - 1)]
    seconds = rounds({str(n): lambda n=n: in_portions(model, images, n) for n in sizes}, 1)
    return min(sizes, key=lambda n: seconds[str(n)][0])


def peak_bytes(call: Callable[[], Any]) -> int:
    """The most bytes of tensors that a call held at once beyond those that were there before."""
    from torch.profiler import ProfilerActivity, profile

    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        call()
    kineto: Any = seen.profiler.kineto_results  # type: ignore[union-attr]
    changes = sorted(
        (event.start_ns(), event.nbytes()) for event in kineto.events() if event.name() == "[memory]"
    )
    held = most = 0
    for _, size in changes:
        held += size
        most = max(most, held)
    return most
