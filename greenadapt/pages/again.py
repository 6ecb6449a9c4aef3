"""The commands that measure a comparison again, as far as its profiles record what was asked for.

    recorded             networks and their arguments, weights, plan, data by name, sweep, grids
    recorded in part     images: their number and size, not the options that chose them
    not an option        warm-up, idle time, seed, a plan without second stage: they come from Python alone

What a command cannot say is said beside it; `remarks` has the sentences.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from greenadapt.carbon.grids import GIVEN
from greenadapt.comparison.across import SWEEPABLE
from greenadapt.profile import Plan

if TYPE_CHECKING:
    from greenadapt.comparison.result import Comparison
    from greenadapt.profile import Carbon, Profile

_TOLD_BY_PYTHON = ("warmup_seconds", "idle_seconds", "seed")
_OPENED_BY = {"num_classes": "--num-classes", "in_chans": "--in-chans"}


def commands(comparison: Comparison, files: Sequence[str]) -> list[str]:
    """The audit, and where its profiles lie somewhere the comparison.

    Args:
        comparison: Whose.
        files: Where the profiles lie.
    """
    base = comparison.profiles[0]
    again = [
        *("greenadapt", "audit"),
        *dict.fromkeys(profile.subject.reference for profile in comparison.profiles),
        *(["--data", base.quality.dataset] if base.quality else ["--random-data"]),
        *_opening(comparison.profiles),
        *_settings(comparison, base.plan),
        *_plan(base.plan),
        *_carbon(base.carbon),
        *("--out", "out/again"),
    ]
    found = [shlex.join(again)]
    if files:
        across = ["--across", ",".join(comparison.across)] if comparison.across else []
        found.append(shlex.join(["greenadapt", "compare", *files, *across, "--page", "comparison.html"]))
    return found


def remarks(comparison: Comparison) -> list[str]:
    """What the commands leave out or cannot repeat, one sentence each."""
    base = comparison.profiles[0]
    found = list(_about_networks(comparison.profiles))
    if base.quality is not None:
        from greenadapt.data import EMBEDDED

        channels, height, width = base.conditions.input_shape
        path = "" if base.quality.dataset in EMBEDDED else " Its data have a name here and no path."
        found.append(
            f"The audit saw {base.quality.images:,} images of {channels}x{height}x{width} px; options that "
            f"chose them, such as --split, --limit or --size, are not recorded.{path}"
        )
    usual = _usual(base.plan)
    told = [name for name in _TOLD_BY_PYTHON if getattr(base.plan, name) != getattr(usual, name)]
    if base.plan.target_fraction is None and not base.plan.quick:
        told.append("target_fraction")
    if told:
        values = ", ".join(f"{name}={getattr(base.plan, name)!r}" for name in told)
        found.append(f"No option says {values}: greenadapt.Plan does.")
    if len({profile.run_id for profile in comparison.profiles}) > 1:
        found.append(
            "The profiles are of several runs; the command measures all in one, with the first's plan."
        )
    return found


def _plain(profiles: Sequence[Profile]) -> list[Profile]:
    """Those that a source opened by name, so that the options for opening were meant for them."""
    return [each for each in profiles if each.subject.reference == each.subject.recipe.base.reference]


def _opening(profiles: Sequence[Profile]) -> list[str]:
    plain = _plain(profiles)
    if not plain:
        return []
    options = []
    if any(each.subject.recipe.base.weights == "random" for each in plain):
        options.append("--no-pretrained")
    for name, value in plain[0].subject.recipe.base.model_args.items():
        text = value if isinstance(value, str) else json.dumps(value)
        options += [_OPENED_BY[name], text] if name in _OPENED_BY else ["--model-arg", f"{name}={text}"]
    return options


def _about_networks(profiles: Sequence[Profile]) -> Iterator[str]:
    bases = [each.subject.recipe.base for each in _plain(profiles)]
    if any(base.weights == "random" for base in bases):
        yield "Weights were random: the command draws others."
    if len({json.dumps(base.model_args, sort_keys=True) for base in bases}) > 1:
        yield "The networks were opened with different arguments; the command has those of the first."
    if len({base.weights == "random" for base in bases}) > 1:
        yield "Some networks were pretrained and some were not; the command opens all with random weights."
    made = [
        each.subject.name
        for each in profiles
        if each.subject.recipe.base.source in ("python", "engine") or " + " in each.subject.reference
    ]
    if made:
        names = ", ".join(dict.fromkeys(made))
        yield f"No command can open {names}: it was made in Python and not saved."


def _usual(plan: Plan) -> Plan:
    return Plan.quick_look() if plan.quick else Plan()


def _plan(plan: Plan) -> Iterator[str]:
    """What the profile's plan has other than the one that the command line starts from."""
    usual = _usual(plan)
    if plan.quick:
        yield "--quick"
    for name in ("trials", "trial_seconds", "target_fraction", "budget_seconds", "meter", "device"):
        value = getattr(plan, name)
        length = not plan.quick and name in ("trials", "trial_seconds")
        if value is not None and (length or value != getattr(usual, name)):
            yield f"--{name.replace('_', '-')}"
            yield value if isinstance(value, str) else f"{value:.12g}"


def _carbon(figures: Sequence[Carbon]) -> Iterator[str]:
    for carbon in figures:
        if carbon.place == GIVEN:
            yield from ("--intensity", f"{carbon.grams_per_kwh:.12g}:{carbon.source}")
        else:
            yield from ("--place", carbon.place)
    for carbon in figures[:1]:
        if carbon.pue is not None:
            yield from ("--pue", f"{carbon.pue:.12g}")
        if carbon.embodied is not None:
            whole = carbon.embodied
            yield from ("--embodied-grams", f"{whole.total_grams:.12g}")
            yield from ("--lifetime-years", f"{whole.lifetime_years:.12g}")
            if whole.share != 1:
                yield from ("--hardware-share", f"{whole.share:.12g}")


def _settings(comparison: Comparison, plan: Plan) -> list[str]:
    """The options of what all share, and ``--sweep`` for what differs or has no option of its own."""
    swept: dict[str, list[Any]] = {
        name: list(dict.fromkeys(row.setting[name] for row in comparison.rows))
        for name in comparison.across
        if name in SWEEPABLE
    }
    options = []
    if "batch" not in swept:
        options += ["-b", f"{plan.batch_size}"]
    if "precision" not in swept:
        options += ["--precision", plan.precision]
    if plan.compile:
        swept.setdefault("compile", [True])
    if plan.memory_format != Plan().memory_format:
        swept.setdefault("format", [plan.memory_format])
    for name, values in swept.items():
        texts = [("on" if value else "off") if name == "compile" else str(value) for value in values]
        options += ["--sweep", f"{name}={','.join(texts)}"]
    return options
