"""``greenadapt doctor``: what can be measured here, and how to get what cannot.

The findings are `greenadapt.diagnosis`; this is how they are told: a head, one paragraph per instrument
with the way out after an arrow, a table of meters.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from greenadapt.cli import output
from greenadapt.cli.options import json_option
from greenadapt.tables import Column
from greenadapt.units import MICROSECONDS_PER_SECOND, with_prefix

if TYPE_CHECKING:
    from greenadapt.diagnosis import BoardFinding, Diagnosis

_LABEL, _WIDTH = 12, 100
_WAY_OUT = "-> "
_SHOWN = ("greenadapt", "python", "torch", "timm", "codecarbon")
_UUID_SHOWN = len("GPU-00000000")


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Say what can be measured here, and how to get what cannot.

    Looks at boards, processor, CUDA, CodeCarbon and plugins, and changes nothing. Takes some seconds.
    """
    from greenadapt.diagnosis import diagnose

    found = diagnose()
    if as_json:
        output.result_json(asdict(found))
        return
    for label, text in told(found):
        output.result(paragraph(label, text))
    if found.energy is not None:
        output.result("")
        output.result_table(*_meters(found))


def told(found: Diagnosis) -> Iterator[tuple[str, str]]:
    """Pairs of a label and a text; an empty label goes on with the paragraph before."""
    yield from _head(found)
    yield from _boards(found)
    yield from _cuda(found)
    yield from _processor(found)
    yield from _codecarbon(found)
    missing = [extra for extra, there in found.extras.items() if not there]
    if found.extras:
        yield (
            "extras",
            ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in found.extras.items()),
        )
    if missing:
        yield "", f"{_WAY_OUT}pip install 'greenadapt[{','.join(missing)}]'"
    for sentence in found.unanswered:
        yield "no answer", sentence
    for problem in found.problems:
        happened, *rest = problem.split("\n")
        yield "problem", " ".join([happened, *rest[:-1]])
        if rest:
            yield "", _WAY_OUT + rest[-1]


def _head(found: Diagnosis) -> Iterator[tuple[str, str]]:
    here = found.here
    own, *others = (
        f"{name} {version}" if name != "greenadapt" else str(version)
        for name, version in here.versions.items()
        if version is not None and name in _SHOWN
    )
    yield "greenadapt", ", ".join([own, *others])
    memory = f", {with_prefix(here.memory_bytes, 'B')}" if here.memory_bytes is not None else ""
    yield "machine", f"{here.cpu}, {here.cores} cores{memory}, {here.os}"
    if found.energy is not None:
        yield "device", f"{found.energy.device} ({found.energy.device_name})"
        yield "energy", found.energy.verdict
        readable = [board.number for board in found.boards.found if board.meter] if found.boards else []
        if readable and found.energy.device == "cpu":
            call = f"greenadapt.measure(step, meter='nvml:{readable[0]}', device='cpu')"
            yield "", f"{_WAY_OUT}for an engine other than torch: {call}"


def _boards(found: Diagnosis) -> Iterator[tuple[str, str]]:
    boards = found.boards
    if boards is None:
        return
    if boards.why_not is not None:
        yield from _no("boards", "none", boards.why_not)
    for board in boards.found:
        uuid = board.uuid[:_UUID_SHOWN] if board.uuid else "UUID unknown"
        driver = f", driver {boards.driver}" if boards.driver else ""
        yield f"board {board.number}", f"{board.name or 'name unknown'}, {uuid}{driver}"
        yield from _counter(board)
        yield from _state(board)


def _counter(board: BoardFinding) -> Iterator[tuple[str, str]]:
    from greenadapt.diagnosis.boards import INTEGRATED

    if board.why_not is not None:
        yield from _no("", "no joules", board.why_not)
        return
    load = [
        with_prefix(board.watts, "W") if board.watts is not None else "",
        f"{board.busy:.0%} busy" if board.busy is not None else "",
    ]
    under = ", ".join(part for part in load if part)
    period = (
        f", moves every {with_prefix(board.period_seconds, 's')}{f' (found at {under})' if under else ''}"
        if board.period_seconds is not None
        else ""
    )
    cost = (
        f", a reading takes {board.read_seconds * MICROSECONDS_PER_SECOND:.0f} µs"
        if board.read_seconds is not None
        else ""
    )
    yield "", f"{board.meter}{period}{cost}; any user may read it"
    if board.meter == INTEGRATED:
        yield (
            "",
            f"{_WAY_OUT}this board counts no energy; its power is summed up instead, which is less certain",
        )


def _state(board: BoardFinding) -> Iterator[tuple[str, str]]:
    limit = f" of at most {with_prefix(board.power_limit_watts, 'W')}" if board.power_limit_watts else ""
    now = [
        f"{with_prefix(board.watts, 'W')}{limit}" if board.watts is not None else "",
        f"{board.celsius:.0f} °C" if board.celsius is not None else "",
        f"{board.sm_clock_mhz:.0f} MHz" if board.sm_clock_mhz is not None else "",
    ]
    facts = [part for part in now if part]
    if facts:
        yield "", f"now {', '.join(facts)}; clock held by: {', '.join(board.reasons) or 'nothing'}"
    switches = {"persistence": board.persistence, "ECC": board.ecc, "MIG": board.mig}
    known = [f"{name} {'on' if on else 'off'}" for name, on in switches.items() if on is not None]
    if known:
        yield "", ", ".join(known)
    if board.persistence is False:
        yield "", f"{_WAY_OUT}sudo nvidia-smi -pm 1 keeps it awake between runs"
    if board.mig:
        yield (
            "",
            f"{_WAY_OUT}the counter covers the whole board: use it with nvml:{board.number}, or leave MIG",
        )
    yield from _tenants(board)
    for problem in board.problems:
        yield "", f"{_WAY_OUT}{problem}"


def _tenants(board: BoardFinding) -> Iterator[tuple[str, str]]:
    if board.other_processes:
        plural = "es" if board.other_processes > 1 else ""
        yield "", f"{board.other_processes} other process{plural} on it, whose joules would be counted too"
        yield "", f"{_WAY_OUT}nvidia-smi shows them; wait for their end, or use another board"
    elif board.other_processes is None and board.why_not is None:
        yield "", "other processes on it: unknown, the list leaves out even us"


def _cuda(found: Diagnosis) -> Iterator[tuple[str, str]]:
    cuda = found.cuda
    if cuda is None:
        return
    built = f"built for CUDA {cuda.built_for}" if cuda.built_for else "built without CUDA"
    yield (
        "CUDA",
        f"torch {cuda.torch} is {built} and can use {cuda.usable} board{'' if cuda.usable == 1 else 's'}",
    )
    if cuda.torch_says:
        yield "", f"torch says: {cuda.torch_says}"
    if found.boards is None or not found.boards.found:
        return
    if not cuda.usable:
        yield (
            "",
            _WAY_OUT
            + (
                "install a torch for CUDA: https://pytorch.org/get-started/locally"
                if cuda.built_for is None
                else "the driver must be new enough for that CUDA: nvidia-smi shows the newest it takes"
            ),
        )
    variable = "not set" if cuda.visible_devices is None else repr(cuda.visible_devices)
    if cuda.why_not is None:
        shown = ", ".join(uuid[:_UUID_SHOWN] for uuid in cuda.boards)
        yield "", f"CUDA_VISIBLE_DEVICES is {variable}, which means {shown}"
    else:
        yield from _no("", f"CUDA_VISIBLE_DEVICES is {variable}", cuda.why_not)


def _processor(found: Diagnosis) -> Iterator[tuple[str, str]]:
    processor = found.processor
    if processor is None:
        return
    names = ", ".join(domain.name for domain in processor.domains)
    if processor.open_now is not None:
        yield "processor", f"has counters ({names}) that this user may not read"
        yield "", f"{_WAY_OUT}until the next restart: {processor.open_now}"
        yield "", f"{_WAY_OUT}for good: {processor.open_for_good}"
    elif processor.why_not is not None:
        yield from _no("processor", "no counters", processor.why_not)
    else:
        yield "processor", f"counters: {names}"


def _codecarbon(found: Diagnosis) -> Iterator[tuple[str, str]]:
    state = found.codecarbon
    if state is None:
        return
    if state.version is None:
        yield "CodeCarbon", "is not installed"
        yield "", f"{_WAY_OUT}pip install 'codecarbon>=3.3.2'"
        return
    boards = found.boards is not None and bool(found.boards.found)
    sees = (
        f"sees boards by {state.nvidia_smi}" if state.nvidia_smi else "sees no board: no nvidia-smi on PATH"
    )
    yield "CodeCarbon", f"{state.version}, {sees}"
    if boards and not state.nvidia_smi:
        yield "", f"{_WAY_OUT}put the driver's nvidia-smi on PATH, or audits go without the second opinion"
    if state.reaching:
        values = ", ".join(f"{name}={value}" for name, value in state.reaching.items())
        yield "", f"your settings {values} change its estimates ({', '.join(state.configs) or 'environment'})"
    if state.ignored:
        yield "", f"your settings {', '.join(state.ignored)} have no effect on greenadapt"
    if state.why_not is not None:
        yield "", f"{_WAY_OUT}mend or remove it: {state.why_not}"


def _no(label: str, what: str, why_not: str) -> Iterator[tuple[str, str]]:
    """A no with its way out, which is the last sentence of what a meter says."""
    seen, _, way_out = why_not.rpartition(". ")
    yield label, f"{what}: {seen or way_out}{'.' if seen else ''}"
    if seen:
        yield "", _WAY_OUT + way_out


def paragraph(label: str, text: str) -> str:
    """One pair of `told` on the terminal; a way out stays in one line, so that it can be copied.

    Args:
        label: What stands in the margin.
        text: What stands beside it.
    """
    if text.startswith(_WAY_OUT):
        return " " * _LABEL + text
    lines = textwrap.wrap(text, _WIDTH - _LABEL, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"{'' if number else label:<{_LABEL}}{line}" for number, line in enumerate(lines))


def _meters(found: Diagnosis) -> tuple[list[Column], list[list[str]]]:
    columns = [Column(title, "left") for title in ("meter", "device", "works", "why not")]
    meters = found.energy.meters if found.energy is not None else []
    return columns, [
        [each.name, each.device, "no" if each.why_not else "yes", _wrapped(each.why_not or "")]
        for each in meters
    ]


def _wrapped(why_not: str) -> str:
    """The first sentence: the paragraphs above have the rest."""
    sentence = why_not.partition(". ")[0].rstrip(".")
    return "\n".join(textwrap.wrap(sentence, 68, break_long_words=False, break_on_hyphens=False))
