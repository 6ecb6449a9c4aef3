"""What BlockDrop can save on this device, told before any training.

    saved at keep s  =  what the blocks that go add to their shortcuts  -  the policy     (share of the whole)
    paid             =  as many blocks dropped as make that positive

It is the best case: all images of a batch take one path, so that nothing is regrouped, and accuracy is not
asked for. "On average" drops blocks of average cost, "at most" the dearest. A policy that costs more than all
blocks but one can save will not pay here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from torch import nn

from greenadapt.adapters.blockdrop.fixed import count_kept
from greenadapt.adapters.blockdrop.parts import BlockCost, Parts, measure_parts
from greenadapt.adapters.options import check_whole
from greenadapt.adapters.timing import BUDGET_SECONDS
from greenadapt.errors import ModelError
from greenadapt.tables import Column, text_table
from greenadapt.units import with_prefix

KEEPS = (0.7, 0.5, 0.3)
_UNACCOUNTED = 0.15
_FLOPS_PER_MAC = 2
_NO = "will not pay here"


@dataclass(frozen=True)
class Saving:
    """What is saved at one share of blocks kept, policy included; below 0 where it costs more.

    Attributes:
        keep: Share of blocks kept.
        dropped: Blocks dropped.
        time: Share of the whole's time saved if blocks of average cost go.
        time_at_most: The same if the dearest go.
        flops: Share of the whole's FLOPs saved if blocks of average cost go.
        flops_at_most: The same if the dearest go.
    """

    keep: float
    dropped: int
    time: float
    time_at_most: float
    flops: float
    flops_at_most: float


@dataclass(frozen=True)
class Payback:
    """Whether BlockDrop can pay on this device; print it.

    Attributes:
        parts: What was measured.
        savings: At 0.7, 0.5 and 0.3 of the blocks, and at the model's own `keep`.
        blocks_to_pay_time: Blocks of average cost that must go before the policy's time has been saved; None
            if even all but one do not.
        blocks_to_pay_time_at_least: The same for the dearest blocks.
        blocks_to_pay_flops: As `blocks_to_pay_time`, for FLOPs.
        blocks_to_pay_flops_at_least: As `blocks_to_pay_time_at_least`, for FLOPs.
        path_time: Share of the whole's time that the path of a fixed policy saves; None of a learned one, and
            of a path that keeps all.
        path_flops: The same of FLOPs.
        pays: Whether time can be saved here.
    """

    parts: Parts
    savings: tuple[Saving, ...]
    blocks_to_pay_time: int | None
    blocks_to_pay_time_at_least: int | None
    blocks_to_pay_flops: int | None
    blocks_to_pay_flops_at_least: int | None
    path_time: float | None
    path_flops: float | None
    pays: bool

    def __str__(self) -> str:
        return "\n\n".join(
            (
                f"Before training, the best case on {self.parts.where}",
                _table_of_parts(self.parts),
                _table_of_savings(self),
                _verdict(self),
            )
        )


def payback(model: nn.Module, batch_size: int = 1, budget_seconds: float = BUDGET_SECONDS) -> Payback:
    """Times each block and the policy of a model under BlockDrop where it is, and says what can be saved.

    Args:
        model: A model under BlockDrop; its mode is left as it is.
        batch_size: Images at a time.
        budget_seconds: About how long to time; very large networks take what two rounds take.

    Raises:
        ModelError: The model is not under BlockDrop.
        OptionError: `batch_size` is no whole number above 0.
    """
    from greenadapt.adapters.blockdrop.adapter import BlockDrop

    if not isinstance(model, BlockDrop):
        raise ModelError(
            "There are no blocks to drop.",
            f"{type(model).__name__} is not under BlockDrop.",
            "Wrap it first: greenadapt.wrap(model, 'blockdrop').",
        )
    batch_size = check_whole("batch_size", batch_size, 1)
    return judge(measure_parts(model, batch_size, budget_seconds), model.greenadapt_config.keep)


def judge(parts: Parts, own_keep: float) -> Payback:
    """What the parts of a network let one expect.

    Args:
        parts: What was measured or assumed.
        own_keep: The model's own share of blocks to keep.
    """
    seconds = _ranked(parts, lambda block: block.saved_seconds)
    macs = _ranked(parts, lambda block: block.saved_macs)
    path_time = path_macs = None
    if parts.kept is not None and parts.path_seconds is not None and not all(parts.kept):
        path_time = 1 - parts.path_seconds / parts.whole_seconds
        gone = [b.saved_macs for b, keep in zip(parts.blocks, parts.kept, strict=True) if not keep]
        path_macs = sum(gone) / parts.whole_macs
    to_pay = _blocks_to_pay(parts.policy_seconds, seconds)
    to_pay_flops = _blocks_to_pay(parts.policy_macs, macs)
    return Payback(
        parts=parts,
        savings=tuple(
            _saving(parts, keep, seconds, macs) for keep in sorted({*KEEPS, own_keep}, reverse=True)
        ),
        blocks_to_pay_time=to_pay[0],
        blocks_to_pay_time_at_least=to_pay[1],
        blocks_to_pay_flops=to_pay_flops[0],
        blocks_to_pay_flops_at_least=to_pay_flops[1],
        path_time=path_time,
        path_flops=path_macs,
        pays=to_pay[1] is not None if path_time is None else path_time > 0,
    )


def _ranked(parts: Parts, saved: Callable[[BlockCost], float]) -> list[float]:
    """What each block saves, the dearest first."""
    return sorted(map(saved, parts.blocks), reverse=True)


def _saving(parts: Parts, keep: float, seconds: Sequence[float], macs: Sequence[float]) -> Saving:
    count = len(parts.blocks)
    dropped = count - count_kept(count, keep)
    time_cost, macs_cost = parts.policy_seconds, parts.policy_macs
    return Saving(
        keep=keep,
        dropped=dropped,
        time=(dropped * sum(seconds) / count - time_cost) / parts.whole_seconds,
        time_at_most=(sum(seconds[:dropped]) - time_cost) / parts.whole_seconds,
        flops=(dropped * sum(macs) / count - macs_cost) / parts.whole_macs,
        flops_at_most=(sum(macs[:dropped]) - macs_cost) / parts.whole_macs,
    )


def _blocks_to_pay(cost: float, saved: Sequence[float]) -> tuple[int | None, int | None]:
    """Blocks of average cost, and of the dearest, that together save more than something costs."""
    if cost == 0:
        return 0, 0
    mean = sum(saved) / len(saved)
    # At least one block stays.
    most = range(1, len(saved))
    dearest = list(accumulate(saved))
    return (
        next((n for n in most if n * mean > cost), None),
        next((n for n in most if dearest[n - 1] > cost), None),
    )


def _table_of_parts(parts: Parts) -> str:
    columns = [Column("part", "left"), Column("time/batch"), Column(""), Column("FLOPs/image"), Column("")]
    none_macs = parts.whole_macs - sum(block.saved_macs for block in parts.blocks)
    rows = [
        ("all blocks", parts.whole_seconds, parts.whole_macs),
        ("no block that can be dropped", parts.none_seconds, none_macs),
    ]
    if parts.kept is None:
        rows.append(("policy", parts.policy_seconds, parts.policy_macs))
    return text_table(
        columns,
        [
            [
                name,
                with_prefix(seconds, "s"),
                f"{100 * seconds / parts.whole_seconds:.1f} %",
                with_prefix(_FLOPS_PER_MAC * macs, "").strip(),
                f"{100 * macs / parts.whole_macs:.1f} %",
            ]
            for name, seconds, macs in rows
        ],
    )


def _table_of_savings(found: Payback) -> str:
    columns = [
        Column("keep"),
        Column("blocks\ndropped"),
        Column("time saved\non average"),
        Column("\nat most"),
        Column("FLOPs saved\non average"),
        Column("\nat most"),
    ]
    count = len(found.parts.blocks)
    return text_table(
        columns,
        [
            [
                f"{saving.keep:g}",
                f"{saving.dropped} of {count}",
                *map(_percent, (saving.time, saving.time_at_most, saving.flops, saving.flops_at_most)),
            ]
            for saving in found.savings
        ],
    )


def _verdict(found: Payback) -> str:
    parts = found.parts
    lines = [*(_path_lines(found) if parts.kept is not None else _policy_lines(found))]
    lines.append(
        f"The parts add up to {100 * (1 - parts.unaccounted):.1f} % of the whole's time. FLOPs are 2 x MAC, "
        "of convolutions and matrix products."
    )
    if parts.unsteady is not None:
        lines.append(parts.unsteady)
    if abs(parts.unaccounted) > _UNACCOUNTED:
        lines.append("Times that do not add up are not to be trusted: try again when the machine is idle.")
    return "\n".join(lines)


def _policy_lines(found: Payback) -> list[str]:
    lines = [
        _policy_line("time", found.blocks_to_pay_time, found.blocks_to_pay_time_at_least, found),
        _policy_line("FLOPs", found.blocks_to_pay_flops, found.blocks_to_pay_flops_at_least, found),
    ]
    if not found.pays:
        lines.append(
            "A cheaper policy might, with policy_net=policy_resnet6 or a larger policy_downscale; a fixed "
            "path (policy=sensitivity) has no policy to pay."
        )
    return lines


def _policy_line(what: str, average: int | None, least: int | None, found: Payback) -> str:
    count = len(found.parts.blocks)
    if least is None:
        return f"In {what} it {_NO}: the policy costs more than {count - 1} of {count} blocks can save."
    if average is None:
        return f"In {what} the policy has paid for itself once the {least} dearest of {count} blocks go."
    dearest = "" if average == least else f" ({least} of the dearest)"
    return f"In {what} the policy has paid for itself once it drops {average} of {count} blocks{dearest}."


def _path_lines(found: Payback) -> list[str]:
    kept = found.parts.kept or ()
    if found.path_time is None or found.path_flops is None:
        return [
            f"The path keeps all {len(kept)} blocks: it saves nothing as it is, and has no policy to pay."
        ]
    run = f"the path that keeps {sum(kept)} of {len(kept)} blocks"
    if found.path_time <= 0:
        return [f"It {_NO}: {run} takes {-100 * found.path_time:.1f} % more time than the whole."]
    return [
        f"Measured, {run} saves {100 * found.path_time:.1f} % of the time and {100 * found.path_flops:.1f} % "
        "of the FLOPs; there is no policy to pay."
    ]


def _percent(share: float) -> str:
    return f"{100 * share:+.1f} %"
