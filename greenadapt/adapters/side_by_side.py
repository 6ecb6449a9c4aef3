"""A retrofit beside its base on this device, before any training: for adapters of static networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from torch import Tensor, nn

from greenadapt.adapters.timing import (
    BUDGET_SECONDS,
    Clock,
    Timed,
    circumstances,
    evaluating,
    example_images,
    rounds,
    spread,
    timed,
)
from greenadapt.counting import counting
from greenadapt.tables import Column, text_table
from greenadapt.units import with_prefix

_FLOPS_PER_MAC = 2


@dataclass(frozen=True)
class SideBySide(Timed):
    """What a retrofit takes and what its base does; print it.

    Attributes:
        base_seconds: Of the base.
        seconds: Of the retrofit.
        base_macs: Multiply-accumulates of an image, of the base.
        macs: The same of the retrofit.
        time_saved: Share of the base's time; below 0 where the retrofit is slower.
        flops_saved: Share of the base's FLOPs.
        pays: Whether time is saved here.
    """

    base_seconds: float
    seconds: float
    base_macs: int
    macs: int
    time_saved: float
    flops_saved: float
    pays: bool

    def __str__(self) -> str:
        rows = [
            ["base", with_prefix(self.base_seconds, "s"), _flops(self.base_macs)],
            ["retrofit", with_prefix(self.seconds, "s"), _flops(self.macs)],
            ["saved", f"{100 * self.time_saved:+.1f} %", f"{100 * self.flops_saved:+.1f} %"],
        ]
        return "\n\n".join(
            (
                f"Before training, on {self.where}",
                text_table([Column("", "left"), Column("time/batch"), Column("FLOPs/image")], rows),
                self._verdict(),
            )
        )

    def _verdict(self) -> str:
        within = abs(self.time_saved) < self.spread
        unsure = f", less than the times vary ({100 * self.spread:.0f} %, quartiles)" if within else ""
        said = f"It saves {100 * self.time_saved:.1f} % of the time{unsure}."
        if not self.pays:
            more = f"it takes {-100 * self.time_saved:.1f} % more time than its base{unsure}."
            said = f"Nothing says that it pays here: {more}" if within else f"It will not pay here: {more}"
        return said if self.unsteady is None else f"{said}\n{self.unsteady}"


def side_by_side(
    base: nn.Module, retrofit: nn.Module, batch_size: int = 1, budget_seconds: float = BUDGET_SECONDS
) -> SideBySide:
    """Times a retrofit and its base in turn, on the device that they are on, and counts what they compute.

    Args:
        base: The network before it was wrapped.
        retrofit: The network after.
        batch_size: Images at a time.
        budget_seconds: About how long to time.
    """
    images = example_images(base, batch_size)
    clock, networks = Clock(images.device), {"base": base, "retrofit": retrofit}
    with evaluating(base, retrofit):
        steps = [timed(name, _call(net, images), clock) for name, net in networks.items()]
        found = rounds(steps, budget_seconds)
        base_macs, macs = _macs(base, images[:1]), _macs(retrofit, images[:1])
    before, after = median(found["base"]), median(found["retrofit"])
    return SideBySide(
        **vars(circumstances(images, found["base"])) | {"spread": max(map(spread, found.values()))},
        base_seconds=before,
        seconds=after,
        base_macs=base_macs,
        macs=macs,
        time_saved=1 - after / before,
        flops_saved=1 - macs / base_macs,
        pays=after < before,
    )


def _call(network: nn.Module, images: Tensor) -> Callable[[], object]:
    return lambda: network(images)


def _macs(network: nn.Module, image: Tensor) -> int:
    with counting(network) as counter:
        network(image)
        return counter.macs


def _flops(macs: int) -> str:
    return with_prefix(_FLOPS_PER_MAC * macs, "").strip()
