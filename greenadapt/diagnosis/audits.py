"""Which meters work here, and what an audit would say about energy."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field

from greenadapt.errors import GreenadaptError

_ON_BOARDS = "nvml"


@dataclass(frozen=True)
class MeterFinding:
    """One meter on one device.

    Attributes:
        name: The meter's.
        device: A torch device, or a board by NVML's number where torch can use none.
        why_not: Why it does not work there, and what to do; None where it does.
    """

    name: str
    device: str
    why_not: str | None


@dataclass(frozen=True)
class Energy:
    """What an audit would say.

    Attributes:
        device: The torch device that it would run on.
        device_name: The board or the processor.
        verdict: In words.
        meters: Every meter.
    """

    device: str
    device_name: str
    verdict: str
    meters: list[MeterFinding] = field(default_factory=list)


def what_audits_say() -> Energy:
    """Opens what ``--meter auto`` would open, and asks every meter whether it works."""
    from greenadapt import machine, plugins

    device = machine.resolve_device("auto")
    return Energy(
        device=device,
        device_name=machine.device_name(device),
        verdict=_verdict(device),
        meters=[_meter(name, each) for name in plugins.meters() for each in _devices(name, device)],
    )


def plugin_problems() -> list[str]:
    """What the loader of plugins has to report."""
    from greenadapt import plugins

    return [str(problem) for problem in plugins.registry().problems]


def _verdict(device: str) -> str:
    from greenadapt.auditing.instruments import open_instrument

    with closing(open_instrument("auto", device)) as instrument:
        info = instrument.info
        if info is None:
            return f"unknown: {instrument.why_not}"
        if info.kind == "estimated":
            return f"estimated: {info.note} ({info.name}); comparisons give a verdict on latency alone"
        return f"measured ({info.name}, {info.scope})"


def _devices(meter: str, device: str) -> list[str]:
    if device != "cpu":
        return [device] if meter == _ON_BOARDS else [device, "cpu"]
    return ["0"] if meter == _ON_BOARDS else ["cpu"]


def _meter(name: str, device: str) -> MeterFinding:
    from greenadapt import plugins

    try:
        return MeterFinding(name, device, plugins.meter(name).why_not(device))
    except GreenadaptError as error:
        return MeterFinding(name, device, str(error))
    except Exception as error:  # a plugin's meter may raise anything, and the others are asked all the same
        return MeterFinding(name, device, f"It failed: {type(error).__name__}: {error}")
