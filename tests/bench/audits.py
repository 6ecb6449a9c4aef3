"""Audits in virtual time: does the interval of a ratio hold what it says?

    scenario ──> Bench (an instrument that only computes) ──> run_trials, both stages ──> paired_ratio
                 and its clock                                                            ──> verdict

Everything but the instrument and the clock is what an audit of real networks runs. Each function returns
figures; nothing here judges them. Noise is of a trial's joules per call, on the log scale.
"""

from __future__ import annotations

import math
import random
import statistics as plain
from collections.abc import Iterator
from dataclasses import dataclass

from greenadapt.auditing.instruments import Stretch
from greenadapt.auditing.trials import Arm, Run, longest_pause, run_trials, trial_seconds
from greenadapt.comparison.verdicts import sign_of_ratio
from greenadapt.interfaces import MeterInfo
from greenadapt.profile import Interval, Plan
from greenadapt.statistics import paired_ratio, pilot_blocks, reach_fraction

PERIOD_SECONDS = 0.1
CALL_SECONDS = 0.0125
CALL_JOULES = 2.5
BATCH = 32
DEFAULT = Plan()
SAME_MODEL_AUDITS = (200, 2_000)
"""How often `same_model` is asked: few as a quick look, and many so that no lucky seed decides."""
ONE_MINUTE = Plan(trials=6, target_fraction=None)
"""Twelve trials of 5 s, six of each of two networks, after the discarded block."""


@dataclass(frozen=True)
class Scenario:
    """What disturbs the trials.

    Attributes:
        noise: Standard deviation of a trial.
        drift: By how much the joules of everything rise in the time of the pilot, evenly, and on at that
            rate after it: 0.05 is 5 % over the shortest run, and more over a longer one.
        carried: Correlation of the noise of successive trials.
    """

    noise: float = 0.02
    drift: float = 0.0
    carried: float = 0.0


SCENARIOS = {
    "independent": Scenario(),
    "drift": Scenario(drift=0.05),
    "autocorrelated": Scenario(carried=0.3),
}


@dataclass(frozen=True)
class Coverage:
    """How often the interval held the truth.

    Attributes:
        covered: Share of the audits.
        audits: How many there were.
        blocks: Counted blocks of an audit, on average.
        half_width: How far the interval reached to either side, on average, as a fraction.
        within_target: Share of the audits whose interval came within the plan's target (else 1 %).
    """

    covered: float
    audits: int
    blocks: float
    half_width: float
    within_target: float


@dataclass(frozen=True)
class HalfWidth:
    """How far the interval reached to either side, as a fraction, over many audits."""

    mean: float
    median: float
    percentile_90: float
    within_1_percent: float
    audits: int


@dataclass(frozen=True)
class Verdicts:
    """What `greenadapt.compare` says of one network against another.

    Attributes:
        found: Share of the audits in which they differ, with the sign that is true.
        wrong_sign: Share in which they differ with the other sign; of equal networks, either sign.
        audits: How many there were.
    """

    found: float
    wrong_sign: float
    audits: int


class VirtualClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += max(0.0, seconds)


class _Meter:
    info = MeterInfo("simulated", "measured", "gpu", period_seconds=PERIOD_SECONDS)


class Bench:
    """An instrument whose stretches take no real time; a step tells the joules of its call.

    Args:
        scenario: What disturbs the trials.
        clock: The virtual clock.
        rate: Drift per second.
        draw: Where the noise is from.
    """

    device = "cpu"
    meter = _Meter()
    slow_period_seconds = PERIOD_SECONDS

    def __init__(self, scenario: Scenario, clock: VirtualClock, rate: float, draw: random.Random) -> None:
        self._scenario, self._clock, self._rate, self._draw = scenario, clock, rate, draw
        self._last = draw.gauss(0.0, scenario.noise)

    def stretch(self, step, seconds: float) -> Stretch:
        calls = math.ceil(seconds / CALL_SECONDS)
        spent = calls * CALL_SECONDS
        drift = 1 + self._rate * (self._clock.now() + spent / 2)
        self._clock.sleep(spent)
        return Stretch(spent, calls, calls * step() * drift * math.exp(self._noise()))

    def _noise(self) -> float:
        carried = self._scenario.carried
        fresh = self._draw.gauss(0.0, self._scenario.noise * math.sqrt(1 - carried**2))
        self._last = carried * self._last + fresh
        return self._last


def one_audit(scenario: Scenario, ratios: tuple[float, ...], plan: Plan, seed: int) -> Run:
    """Runs the trials of one audit.

    Args:
        scenario: What disturbs them.
        ratios: Joules of each network over those of the first, which is not among them.
        plan: The plan; its seed is replaced.
        seed: Of the pauses and of the noise.
    """
    clock, draw = VirtualClock(), random.Random(f"noise {seed}")
    trials = 2 * (1 + len(ratios)) * (pilot_blocks(plan) + 1)
    pilot = trials * (trial_seconds(plan, PERIOD_SECONDS) + longest_pause(plan, PERIOD_SECONDS) / 2)
    bench = Bench(scenario, clock, scenario.drift / pilot, draw)
    arms = [
        Arm(str(number), lambda joules=CALL_JOULES * ratio: joules, BATCH)
        for number, ratio in enumerate((1.0, *ratios))
    ]
    return run_trials(bench, arms, plan.model_copy(update={"seed": seed}), _silent, clock)


def coverage(
    scenario: Scenario, audits: int = 1000, seed: int = 0, ratio: float = 0.9, plan: Plan = DEFAULT
) -> Coverage:
    """How often the 95 % interval of the paired ratio holds the true one."""
    covered, blocks, reaches = 0, [], []
    for run, found in _audits(scenario, ratio, plan, audits, seed):
        covered += found.low <= ratio <= found.high
        blocks.append(run.stages.blocks)
        reaches.append(reach_fraction(found))
    target = (plan.target_fraction or 0.01) * (1 + 1e-9)
    within = sum(reach <= target for reach in reaches) / audits
    return Coverage(covered / audits, audits, plain.fmean(blocks), plain.fmean(reaches), within)


def halfwidth(audits: int = 1000, seed: int = 0, noise: float = 0.005, plan: Plan = ONE_MINUTE) -> HalfWidth:
    """How far the interval of the paired ratio reaches after 60 s of measuring."""
    reaches = sorted(reach_fraction(found) for _, found in _audits(Scenario(noise), 0.9, plan, audits, seed))
    return HalfWidth(
        mean=plain.fmean(reaches),
        median=plain.median(reaches),
        percentile_90=reaches[math.ceil(0.9 * audits) - 1],
        within_1_percent=sum(reach <= 0.01 for reach in reaches) / audits,
        audits=audits,
    )


def same_model(
    audits: int = SAME_MODEL_AUDITS[0],
    seed: int = 0,
    scenario: Scenario = SCENARIOS["drift"],
    plan: Plan = DEFAULT,
) -> Verdicts:
    """How often a network comes out different from itself."""
    return _verdicts(scenario, 1.0, plan, audits, seed)


def true_difference(
    audits: int = 200, seed: int = 0, ratio: float = 0.98, noise: float = 0.005, plan: Plan = DEFAULT
) -> Verdicts:
    """How often a true difference is found."""
    return _verdicts(Scenario(noise), ratio, plan, audits, seed)


def worst_of_rivals(
    scenario: Scenario, audits: int, seed: int = 0, rivals: int = 3, plan: Plan = DEFAULT
) -> list[float]:
    """Coverage of each rival's ratio to the base where the worst of them steers the second stage."""
    covered = [0] * rivals
    for number in range(audits):
        run = one_audit(scenario, (0.9,) * rivals, plan, seed * audits + number)
        for rival in range(rivals):
            found = paired_ratio(run.trials["0"], run.trials[str(rival + 1)], "joules")
            covered[rival] += found is not None and found.low <= 0.9 <= found.high
    return [each / audits for each in covered]


def _verdicts(scenario: Scenario, ratio: float, plan: Plan, audits: int, seed: int) -> Verdicts:
    truth = sign_of_ratio(Interval(mean=ratio, low=ratio, high=ratio, trials=1))
    signs = [sign_of_ratio(found) for _, found in _audits(scenario, ratio, plan, audits, seed)]
    found = sum(sign == truth != 0 for sign in signs)
    return Verdicts(found / audits, sum(sign not in (0, truth) for sign in signs) / audits, audits)


def _audits(
    scenario: Scenario, ratio: float, plan: Plan, audits: int, seed: int
) -> Iterator[tuple[Run, Interval]]:
    for number in range(audits):
        run = one_audit(scenario, (ratio,), plan, seed * audits + number)
        found = paired_ratio(run.trials["0"], run.trials["1"], "joules")
        if found is None:
            raise ValueError("an audit came out without an interval")
        yield run, found


def _silent(message: str, share: float) -> None:
    """Progress that nobody watches."""
