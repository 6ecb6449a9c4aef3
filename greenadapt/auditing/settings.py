"""Settings that need no training, as rivals: what a sweep asks for, and what each combination is called.

    {"precision": ["fp32", "bf16"], "batch": [1, 8]}
        │  checked_sweep        values of the right type, each once
        ▼
    rivals(names, plan, sweep)  every network under every combination, the first values of all first:
                                r20@fp32,b1   r20@fp32,b8   r20@bf16,b1   r20@bf16,b8

All of them are measured in one interleaved run. The first combination is the base: an audit in which it
cannot run is an error, whereas any other combination that cannot run is left out and named.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greenadapt.comparison.across import FIELDS, SWEEPABLE
from greenadapt.errors import OptionError, did_you_mean
from greenadapt.profile import Plan

MOST_RIVALS = 32
"""Networks times combinations in one run: with more, a block lasts so long that pairing is worth little."""

_VALUES: dict[str, dict[str, Any]] = {
    "precision": {name: name for name in ("fp32", "fp16", "bf16")},
    "compile": {"off": False, "on": True},
    "format": {name: name for name in ("channels_last", "contiguous")},
}
_BATCH = "batch"
Sweep = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Rival:
    """One network under one setting.

    Attributes:
        name: What its profile is called.
        network: The network's own name.
        plan: The plan with this setting.
        is_base: Whether this is the first combination, which must run.
    """

    name: str
    network: str
    plan: Plan
    is_base: bool


def rivals(networks: Iterable[str], plan: Plan, sweep: Sweep, engines: Collection[str] = ()) -> list[Rival]:
    """Every network under every combination of a sweep; without a sweep, every network once.

    Args:
        networks: Their names.
        plan: What all combinations share.
        sweep: What `checked_sweep` returns.
        engines: Names of those that are only called: they can be given other batches, and nothing else.

    Raises:
        OptionError: There are more than `MOST_RIVALS`.
    """
    names = list(networks)
    settings = list(itertools.product(*sweep.values()))
    found = []
    for name in names:
        for number, values in enumerate(settings):
            setting = dict(zip(sweep, values, strict=True))
            if name in engines and any(setting[key] != sweep[key][0] for key in setting if key != _BATCH):
                continue
            changed = plan.model_copy(update={FIELDS[key]: value for key, value in setting.items()})
            label = setting_name({key: setting[key] for key in varied(sweep)})
            found.append(Rival(f"{name}@{label}" if label else name, name, changed, number == 0))
    if sweep and len(found) > MOST_RIVALS:
        raise OptionError(
            f"{len(found)} rivals are too many for one run.",
            f"{len(names)} network{'s' if len(names) > 1 else ''} under {len(settings)} combinations; "
            f"at most {MOST_RIVALS} are interleaved.",
            "Sweep fewer values at once, or audit the networks one by one.",
        )
    return found


def varied(sweep: Sweep) -> tuple[str, ...]:
    """What a sweep gives more than one value: a single value is a condition that all share."""
    return tuple(key for key, values in sweep.items() if len(values) > 1)


def setting_name(setting: Mapping[str, Any]) -> str:
    """A setting as part of a name: "bf16,compile,b8"; empty for none."""
    return ",".join(_part(key, value) for key, value in setting.items())


def checked_sweep(sweep: Mapping[str, Sequence[Any] | Any]) -> dict[str, tuple[Any, ...]]:
    """Reads a sweep.

    Args:
        sweep: What to vary, with its values as text or as what they mean: ``{"compile": ["off", True],
            "batch": [1, "8"]}``; a single value need not stand in a list.

    Returns:
        The values by name, always in the order precision, compile, format, batch.

    Raises:
        OptionError: A name or a value is unknown, given twice, or missing.
    """
    for name in sweep:
        if name not in SWEEPABLE:
            raise OptionError(
                f"{name!r} cannot be swept. {did_you_mean(name, SWEEPABLE)}".rstrip(),
                "An audit varies what needs no training, and changes no clock or power limit.",
                f"Sweep {_offer()}.",
            )
    return {name: _checked_values(name, sweep[name]) for name in SWEEPABLE if name in sweep}


def _checked_values(name: str, given: Sequence[Any] | Any) -> tuple[Any, ...]:
    several = isinstance(given, Sequence) and not isinstance(given, str)
    values = tuple(_value(name, each) for each in (given if several else [given]))
    if not values or len(set(values)) < len(values):
        seen = ", ".join(str(value) for value in values) if values else "no value"
        raise OptionError(
            f"The values of {name!r} do not make a sweep.",
            f"Given: {seen}." + (" A value is there twice." if values else ""),
            f"Sweep {_offer()}, each value once.",
        )
    return values


def _value(name: str, given: Any) -> Any:
    text = str(given).strip()
    if name == _BATCH:
        if not isinstance(given, bool) and text.isascii() and text.isdigit() and int(text) > 0:
            return int(text)
    else:
        known = _VALUES[name]
        if isinstance(given, bool) and given in known.values():
            return given
        if text in known:
            return known[text]
    raise OptionError(
        f"{name}={given} cannot be swept.", f"{name} takes {_values_of(name)}.", f"Sweep {_offer()}."
    )


def _part(key: str, value: Any) -> str:
    if key == "compile":
        return "compile" if value else "eager"
    return f"b{value}" if key == _BATCH else str(value)


def _values_of(name: str) -> str:
    return "whole numbers from 1" if name == _BATCH else ", ".join(_VALUES[name])


def _offer() -> str:
    return "; ".join(f"{name} ({_values_of(name)})" for name in SWEEPABLE)
