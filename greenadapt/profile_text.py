"""One efficiency profile as text for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from greenadapt.comparison.table import ESTIMATED, conditions_line, quantity
from greenadapt.profile import Carbon, Execution, Interval, Method, Profile, TakenPath
from greenadapt.statistics import counted, idle_watts
from greenadapt.tables import Column, text_table
from greenadapt.units import significant, with_prefix

_WIDTH = 100
_ENDS, _PATHS = 3, 6
DECISIONS = ("blocks kept", "blocks", "classes", "paths")
"""Names of the facts about what an adaptive network decides."""


def profile_text(profile: Profile, trials: bool = False) -> str:
    """The profile in some twenty lines.

    Args:
        profile: What to show.
        trials: Show every trial as well, the discarded ones marked.
    """
    title = f"{profile.subject.name} ({profile.subject.reference})"
    lines = [title, conditions_line(profile.conditions), ""]
    facts = profile_facts(profile)
    width = max(len(name) for name, _ in facts)
    lines += [_wrapped(name, text, width) for name, text in facts]
    if trials:
        lines += ["", _trials(profile)]
    return "\n".join(lines)


def profile_facts(profile: Profile) -> list[tuple[str, str]]:
    """What there is to say, as pairs of a short name and a text, the figures first.

    A text of several lines begins with what it is about, and goes on with a reason in each line.
    """
    return [*_figures(profile), *_method(profile), *_circumstances(profile)]


def _wrapped(name: str, text: str, width: int) -> str:
    """A fact beside its name; text of several lines is wrapped, and what goes on is indented further."""
    first, *reasons = text.split("\n")
    margin = " " * (width + 2)
    lines = [f"{name:<{width}}  {first}"]
    for reason in reasons:
        lines += textwrap.wrap(
            reason,
            _WIDTH,
            initial_indent=f"{margin}- ",
            subsequent_indent=f"{margin}  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def _figures(profile: Profile) -> Iterator[tuple[str, str]]:
    summary, subject = profile.summary, profile.subject
    yield "energy/image", _energy(summary.joules_per_inference, profile.method)
    if summary.net_joules_per_inference is not None:
        yield "above idle", quantity(summary.net_joules_per_inference, "J")
    yield "time/image", quantity(summary.seconds_per_inference, "s")
    yield "time/batch", quantity(summary.seconds_per_batch, "s")
    yield "throughput", f"{summary.inferences_per_second:,.0f} images/s"
    yield "top-1", _top1(profile)
    yield "parameters", "unknown" if subject.parameters is None else f"{subject.parameters:,}"
    if subject.macs_per_image is not None:
        yield "FLOPs/image", f"{with_prefix(2 * subject.macs_per_image, '').strip()} (2 x MAC)"
    if profile.execution is not None:
        yield from _decisions(profile.execution)
    yield "weights", subject.weights


def _decisions(run: Execution) -> Iterator[tuple[str, str]]:
    """What an adaptive network ran, in a few lines whatever the number of blocks, classes and paths."""
    ran = [kept for kept, images in enumerate(run.histogram) if images]
    ends = f", from {ran[0]} to {ran[-1]}" if len(ran) > 1 else ""
    paths = "1 path" if run.paths == 1 else f"{run.paths:,} paths"
    yield "blocks kept", f"{run.blocks_kept_mean:.2f} of {run.blocks} on average{ends}, {paths}"
    if run.paths == 1 or not run.block_shares:
        return
    names = run.block_names or [str(number) for number in range(run.blocks)]
    blocks = sorted(zip(run.block_shares, names, strict=True), reverse=True)
    told = [f"{name} {share * 100:.0f} %" for share, name in blocks]
    yield "blocks", "\n".join(["how many of the images run each", *_ends(told, "most", "fewest")])
    if len(run.classes) > 1:
        classes = sorted((each.blocks_kept_mean, each.name or f"class {each.label}") for each in run.classes)
        told = [f"{name} {kept:.2f}" for kept, name in classes]
        yield "classes", "\n".join(["blocks kept on average", *_ends(told, "easy", "hard")])
    shown = [each for each in run.commonest if each.cost is not None] or run.commonest[:_PATHS]
    rest = run.paths - len(shown)
    more = f"; {rest:,} more" if rest else ""
    yield "paths", "\n".join([f"the commonest, a digit a block{more}", *map(_path, shown), *_why(shown)])


def _ends(ordered: list[str], first: str, last: str) -> Iterator[str]:
    """All, or a few of either end."""
    if len(ordered) <= 2 * _ENDS:
        yield ", ".join(ordered)
        return
    yield f"{first}: {', '.join(ordered[:_ENDS])}"
    yield f"{last}: {', '.join(reversed(ordered[-_ENDS:]))}; {len(ordered) - 2 * _ENDS:,} in between"


def _path(taken: TakenPath) -> str:
    parts = [f"{taken.share * 100:.3g} % of the images"]
    if taken.top1 is not None:
        parts.append(f"top-1 {taken.top1 * 100:.1f} %")
    cost = taken.cost
    if cost is not None and cost.seconds_per_inference is not None:
        parts.append(f"{with_prefix(cost.seconds_per_inference, 's')}/image")
    if cost is not None and cost.joules_per_inference is not None:
        parts.append(f"{with_prefix(cost.joules_per_inference, 'J')}/image, {cost.kind}")
    return f"{taken.path}: {', '.join(parts)}"


def _why(shown: list[TakenPath]) -> Iterator[str]:
    """What is unknown of the paths, each reason once."""
    costs = [each.cost for each in shown if each.cost is not None]
    for reason in dict.fromkeys(cost.why_not for cost in costs if cost.why_not):
        what = "energy" if all(cost.trials for cost in costs if cost.why_not == reason) else "time and energy"
        yield f"{what} of a path unknown: {reason}"


def _circumstances(profile: Profile) -> Iterator[tuple[str, str]]:
    for carbon in profile.carbon:
        grams = f"{carbon.grams_per_1000_inferences:.3g} g CO2e per 1,000 images"
        source = f"{carbon.grams_per_kwh:g} g/kWh, {carbon.source}" + (
            f", {carbon.year}" if carbon.year else ""
        )
        yield f"carbon {carbon.place}", f"{grams} ({source}; energy {carbon.kind})"
        yield from _beyond_electricity(carbon)
    reasons = profile.validity.reasons
    yield "validity", "\n".join([profile.validity.status + (":" if reasons else ""), *reasons])
    yield "audited", f"{profile.created}, greenadapt {profile.machine.greenadapt}, run {profile.run_id}"
    yield "profile", profile.profile_id


def _beyond_electricity(carbon: Carbon) -> Iterator[tuple[str, str]]:
    """What building and hardware add, each beside what it was worked out from."""
    building, making = carbon.facility_grams_per_1000_inferences, carbon.embodied_grams_per_1000_inferences
    if building is not None:
        yield f"{carbon.place} with PUE", f"{building:.3g} g per 1,000 images at a PUE of {carbon.pue:g}"
    if making is not None and carbon.embodied is not None:
        whole = carbon.embodied
        share = f", {whole.share:.3g} of it" if whole.share != 1 else ""
        made = f"{with_prefix(whole.total_grams, 'g')} over {whole.lifetime_years:g} years{share}"
        source = f"; {whole.source}" if whole.source else ""
        yield f"{carbon.place} embodied", f"{making:.3g} g per 1,000 images ({made}{source})"
        yield (
            f"{carbon.place} SCI",
            f"{carbon.sci_grams_per_1000_inferences:.3g} g per 1,000 images, all of these together",
        )


def _energy(joules: Interval | None, method: Method) -> str:
    if joules is None:
        return f"unknown: {method.why_not or 'no reading'}"
    return f"{quantity(joules, 'J')}, {ESTIMATED if method.kind == 'estimated' else 'measured'}"


def _method(profile: Profile) -> Iterator[tuple[str, str]]:
    method, rest = profile.method, idle_watts(profile.idle)
    parts = [part for part in (method.meter, method.scope, method.estimator) if part]
    if method.period_seconds is not None:
        parts.append(f"counter moves every {with_prefix(method.period_seconds, 's')}")
    if method.systematic_fraction is not None:
        parts.append(f"absolute joules ±{method.systematic_fraction:.0%}")
    if parts:
        yield "instrument", ", ".join(parts)
    if rest is not None:
        yield "idle power", with_prefix(rest, "W")
    plan, stages = profile.plan, profile.stages
    quick = "; a quick look, so intervals are wide" if plan.quick else ""
    seconds = plan.trial_seconds if stages is None else stages.trial_seconds
    yield "trials", f"{len(counted(profile.trials))} counted, of {significant(seconds)} s{quick}"
    if stages is not None and plan.target_fraction is not None:
        yield "second stage", stages.reason
    agreement = profile.validity.crosscheck
    if agreement is not None and agreement.relative_difference is not None:
        yield "cross-check", f"CodeCarbon's joules differ by {agreement.relative_difference:+.2%}"
    elif agreement is not None:
        yield "cross-check", f"none: {agreement.why_not}"


def _top1(profile: Profile) -> str:
    quality = profile.quality
    if quality is None:
        return "not measured"
    ends = f"{quality.top1_low * 100:.2f} to {quality.top1_high * 100:.2f}"
    return f"{quality.top1 * 100:.2f} % ({ends}), {quality.images:,} images of {quality.dataset}"


def _trials(profile: Profile) -> str:
    titles = ("trial", "block", "started", "seconds", "images", "time/image", "energy/image", "")
    rows = [
        [
            str(trial.order),
            str(trial.block),
            f"{trial.started_seconds:.1f} s",
            f"{trial.seconds:.3f}",
            f"{trial.inferences:,}",
            with_prefix(trial.seconds / trial.inferences, "s"),
            "unknown" if trial.joules is None else with_prefix(trial.joules / trial.inferences, "J"),
            "discarded" if trial.discarded else "",
        ]
        for trial in profile.trials
    ]
    return text_table([Column(title) for title in titles], rows)
