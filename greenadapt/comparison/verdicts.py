"""What a comparison of two networks comes to, in words.

    cost, accuracy        | less                           | no measurable difference | more
    measurably less       | cheaper but less accurate than | beats                    | beats
    no measurable diff.   | loses to                       | no measurable difference | beats
    measurably more       | loses to                       | loses to                 | dearer but more
                                                                                        accurate than

Cost is energy where a counter measured both sides, else time: an estimate of energy is a constant power
times time and adds nothing to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from greenadapt.comparison.differences import AccuracyDifference
from greenadapt.profile import Interval
from greenadapt.units import significant, with_prefix

Outcome = Literal[
    "beats",
    "loses to",
    "no measurable difference from",
    "cheaper but less accurate than",
    "dearer but more accurate than",
    "no verdict against",
]
_COPULAS = {
    "no measurable difference from": "shows ",
    "cheaper but less accurate than": "is ",
    "dearer but more accurate than": "is ",
    "no verdict against": "has ",
}
SIGNIFICANCE = 0.05
NO_DIFFERENCE = "no measurable difference"


def sign_of_ratio(ratio: Interval) -> int:
    """-1 or 1 where the whole interval lies below or above 1, else 0: no measurable difference."""
    return -1 if ratio.high < 1 else 1 if ratio.low > 1 else 0


def sign_of_accuracy(difference: AccuracyDifference) -> int:
    """1 or -1 where the paired test finds the first network more or less accurate, else 0."""
    if difference.p_value >= SIGNIFICANCE:
        return 0
    return 1 if difference.mean > 0 else -1


@dataclass(frozen=True)
class Versus:
    """One network against another.

    Attributes:
        network: Name of the one.
        other: Name of the other.
        latency: Its time per inference over the other's.
        energy: Its joules per inference over the other's; None unless a counter measured both.
        accuracy: Its top-1 minus the other's; None unless both saw the same images.
        paired: Whether both ran interleaved, so that drift cancels in the ratios.
        usable: Whether both audits are valid enough for a verdict.
        change: The one's setting as far as it differs from the other's, in words.
        batch_seconds: How long a batch of each takes, where the batches are not of one size.
    """

    network: str
    other: str
    latency: Interval
    energy: Interval | None
    accuracy: AccuracyDifference | None
    paired: bool
    usable: bool = True
    change: str = ""
    batch_seconds: tuple[float, float] | None = None

    @property
    def outcome(self) -> Outcome:
        """What it comes to; see the table in the module's docstring."""
        if not self.usable or self.accuracy is None:
            return "no verdict against"
        cost, accuracy = sign_of_ratio(self.energy or self.latency), sign_of_accuracy(self.accuracy)
        if cost == 0 and accuracy == 0:
            return "no measurable difference from"
        if cost <= 0 and accuracy >= 0:
            return "beats"
        if cost >= 0 and accuracy <= 0:
            return "loses to"
        return "cheaper but less accurate than" if cost < 0 else "dearer but more accurate than"

    @property
    def sentence(self) -> str:
        """The outcome as a sentence with its numbers."""
        network = f"{self.network} ({self.change})" if self._change_is_news else self.network
        relation = f"{network} {_COPULAS.get(self.outcome, '')}{self.outcome} {self.other}"
        if not self.usable:
            return f"{relation}: one of the audits is invalid."
        return f"{relation}: {self._cost_words()}, {accuracy_words(self.accuracy)}{self._batch_words()}."

    @property
    def _change_is_news(self) -> bool:
        return bool(self.change) and not self.network.endswith(f"({self.change})")

    def _batch_words(self) -> str:
        if self.batch_seconds is None:
            return ""
        one, other = (with_prefix(seconds, "s") for seconds in self.batch_seconds)
        return f"; a batch takes {one} instead of {other}"

    def _cost_words(self) -> str:
        time = ratio_words(self.latency, "time per image")
        return f"{ratio_words(self.energy, 'energy per image')}, {time}" if self.energy else time


def ratio_words(ratio: Interval, what: str) -> str:
    """A ratio in words: "28 % less time per image (26 to 30)" or "no measurable difference in ..."."""
    sign = sign_of_ratio(ratio)
    if sign == 0:
        return f"{NO_DIFFERENCE} in {what}"
    ends = sorted(abs(1 - end) * 100 for end in (ratio.low, ratio.high))
    comparative = "less" if sign < 0 else "more"
    mean, near, far = (significant(end) for end in (abs(1 - ratio.mean) * 100, *ends))
    return f"{mean} % {comparative} {what} ({near} to {far})"


def accuracy_words(difference: AccuracyDifference | None) -> str:
    """A difference in accuracy in words, with the p-value of McNemar's test."""
    if difference is None:
        return "accuracy not compared"
    sign = sign_of_accuracy(difference)
    p = f"p = {difference.p_value:.2g}" if difference.p_value >= 0.001 else "p < 0.001"
    if sign == 0:
        return f"{NO_DIFFERENCE} in accuracy ({difference.mean * 100:+.2f} points, {p})"
    comparative = "more" if sign > 0 else "less"
    return f"{abs(difference.mean) * 100:.2f} points {comparative} accurate ({p})"
