"""What an audit is asked to do, as options; how long it will take, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from greenadapt.cli.options import packed, pairs
from greenadapt.units import SECONDS_PER_HOUR

if TYPE_CHECKING:
    from greenadapt.profile import Plan

_SETTING = re.compile(r"[A-Za-z][A-Za-z_-]*=")
_OPTIONS = {"precision": "--precision", "batch_size": "--batch-size"}
_MINUTE = SECONDS_PER_HOUR / 60

plan_options = packed(
    "wishes",
    click.option("-b", "--batch-size", type=click.IntRange(min=1), default=32, show_default=True),
    click.option(
        "--precision", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp32", show_default=True
    ),
    click.option(
        "--trials",
        type=click.IntRange(min=2),
        help="Counted trials per model in the pilot.  [default: 10; quick: 6]",
    ),
    click.option(
        "--trial-seconds",
        type=click.FloatRange(min=0, min_open=True),
        help="Length of each trial.  [default: 5; quick: 0.5]",
    ),
    click.option(
        "--target-fraction",
        type=click.FloatRange(min=0, min_open=True),
        help="Half-width that further trials are to bring the ratios' intervals to; of one model, its own "
        "figure's.  [default: 0.01]",
    ),
    click.option(
        "--budget-seconds",
        type=click.FloatRange(min=0),
        help="Time that all trials may take; the pilot runs in any case.  [default: 1200]",
    ),
    click.option("--quick", is_flag=True, help="A first look in seconds; its intervals are wide."),
    click.option(
        "--meter", default="auto", show_default=True, help="Instrument; see: greenadapt meters list"
    ),
    click.option(
        "--device", default="auto", show_default=True, help="A torch device, such as cpu or cuda:0."
    ),
)
"""Adds the options of a plan, as ``wishes``; `plan_of` takes it."""

sweep_option = click.option(
    "--sweep",
    "settings",
    multiple=True,
    metavar="KEY=V,V...",
    help="Measure each model under every combination of settings, in one run: precision=fp32,bf16 "
    "compile=off,on format=channels_last,contiguous batch=1,8,32. The first values are the base.",
)
"""Adds ``--sweep`` as ``settings``; what follows it in the same form is found among the models."""


def plan_of(quick: bool, **wishes: Any) -> Plan:
    """The plan that the values of `plan_options` ask for.

    Raises:
        OptionError: A value is out of range.
    """
    from pydantic import ValidationError

    from greenadapt.errors import OptionError
    from greenadapt.profile import Plan

    given = {name: value for name, value in wishes.items() if value is not None}
    try:
        return Plan.quick_look(**given) if quick else Plan(**given)
    except ValidationError as error:
        fault = error.errors()[0]
        name = "--" + str(fault["loc"][0]).replace("_", "-")
        raise OptionError(
            f"{name} is out of range.", f"{fault['msg']}.", "See: greenadapt audit --help"
        ) from error


def check_meter(meter: str) -> None:
    """Finds out whether there is a meter of that name, without opening it.

    Args:
        meter: As given to ``--meter``; what follows a colon is not looked at.

    Raises:
        OptionError: There is none.
        MissingExtraError: It needs an extra that is not installed.
    """
    from greenadapt import plugins

    if meter not in ("auto", "none"):
        plugins.meter(meter.partition(":")[0])


def split_sweep(
    settings: Sequence[str], references: Sequence[str]
) -> tuple[dict[str, tuple[Any, ...]], list[str]]:
    """Tells settings from models: ``--sweep precision=fp32,bf16 batch=1,8`` needs one ``--sweep``.

    Args:
        settings: What was given to ``--sweep``.
        references: The models, with settings among them.

    Returns:
        The sweep, checked, and the models.

    Raises:
        OptionError: A setting cannot be swept.
        click.UsageError: A setting without ``--sweep``, or one that an option of its own gives too.
    """
    from greenadapt.auditing.settings import checked_sweep
    from greenadapt.comparison.across import FIELDS

    more = [each for each in references if _SETTING.match(each) and not Path(each).exists()]
    if more and not settings:
        raise click.UsageError(f"{more[0]} is no model. Settings to vary follow --sweep.")
    given = pairs([*settings, *more], "--sweep")
    sweep = checked_sweep({key: text.split(",") for key, text in given.items()})
    source = click.get_current_context().get_parameter_source
    for key in sweep:
        option = _OPTIONS.get(FIELDS[key])
        if option is not None and source(FIELDS[key]) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option} and --sweep {key}=... are both given.")
    return sweep, [each for each in references if each not in more]


def outlook(plan: Plan, names: Sequence[str], sweep: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """What an audit will run, and how long it takes, before anything is opened.

    Args:
        plan: The plan.
        names: Of the models.
        sweep: A checked sweep; empty for none.

    Raises:
        OptionError: The sweep asks for too many rivals.
    """
    from greenadapt.auditing import planned_seconds
    from greenadapt.auditing.settings import rivals
    from greenadapt.statistics import pilot_blocks

    wanted = rivals(names, plan, sweep)
    time = planned_seconds(plan, len(wanted))
    return {
        "rivals": [rival.name for rival in wanted],
        "trials_at_least": 2 * len(wanted) * (pilot_blocks(plan) + 1),
        "least_seconds": time.least,
        "most_seconds": time.most,
        "plan": plan.model_dump(mode="json"),
    }


def outlook_words(outlook: Mapping[str, Any]) -> str:
    """The same in one sentence or two."""
    plan, count = outlook["plan"], len(outlook["rivals"])
    what = "1 model" if count == 1 else f"{count} rivals, interleaved"
    least, most = duration(outlook["least_seconds"]), duration(outlook["most_seconds"])
    time = least if least == most else f"{least} to {most}"
    figure = "its own figure" if count == 1 else "the ratios"
    pilot = outlook["trials_at_least"] * plan["trial_seconds"]
    further = plan["target_fraction"] is not None and plan["budget_seconds"] > pilot
    more = (
        f", then as many as bring {figure} within ±{plan['target_fraction'] * 100:.2g} %"
        if further
        else ", and no second stage"
    )
    return (
        f"{'A quick plan' if plan['quick'] else 'Plan'}: {what}; {outlook['trials_at_least']} trials of "
        f"{plan['trial_seconds']:g} s or more{more}. Time: {time}, besides loading, compiling and accuracy."
    )


def duration(seconds: float) -> str:
    """A time for people: "45 s", "12 min", "1 h 20 min"."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * SECONDS_PER_HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    hours, rest = divmod(seconds, SECONDS_PER_HOUR)
    return f"{hours:.0f} h {rest / _MINUTE:.0f} min"
