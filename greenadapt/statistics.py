"""Numbers from raw readings: means with intervals, paired ratios, accuracies, the summary of a profile.

Every function is pure and gives the same digits for the same readings, so that `greenadapt check` can
compute a profile's summary again.

    interval         mean of repeated readings with its 95 % interval, plain or on the log scale
    paired_ratio     other / base from the trials of one interleaved run, block by block
    wilson           interval of a share, such as top-1 accuracy
    pack_hits        one bit per image as hexadecimal digits; `unpack_hits` is its inverse
    summarize        everything a profile derives from its trials
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from greenadapt.errors import ProfileError
from greenadapt.profile import Idle, Interval, Summary, Trial

CONFIDENCE = 0.95
Z_95 = 1.959963984540054


def student_t(degrees_of_freedom: int) -> float:
    """How many standard errors the 95 % interval of a mean reaches to either side."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, 0.5 + CONFIDENCE / 2))


def interval(values: Sequence[float], log: bool = False) -> Interval:
    """Mean of repeated readings with its 95 % interval (Student's t over the readings).

    Args:
        values: At least two readings; above zero if `log`.
        log: Work on the logarithms: the mean is then the geometric one, the interval is never
            negative, and the ratio of two such means is the mean of the ratios.

    Raises:
        ValueError: Fewer than two readings, or one that is not above zero on the log scale.
    """
    if len(values) < 2:
        raise ValueError(f"an interval needs at least two readings, not {len(values)}")
    if log and min(values) <= 0:
        raise ValueError(f"a reading of {min(values)} has no logarithm")
    points = [math.log(value) for value in values] if log else [float(value) for value in values]
    mean = math.fsum(points) / len(points)
    variance = math.fsum((point - mean) ** 2 for point in points) / (len(points) - 1)
    reach = student_t(len(points) - 1) * math.sqrt(variance / len(points))
    ends = (mean, mean - reach, mean + reach)
    mean, low, high = (math.exp(end) for end in ends) if log else ends
    return Interval(mean=mean, low=low, high=high, trials=len(points))


def paired_ratio(base: Mapping[int, float], other: Mapping[int, float]) -> Interval | None:
    """Ratio other / base of one interleaved run, with its 95 % interval.

    Heat and clocks drift over a run; within a block the two stand next to each other, so each block
    gives one difference of logarithms and the interval is Student's t over the blocks.

    Args:
        base: A positive figure per block, such as joules per inference; see `per_block`.
        other: The same of the other network, from the same run.

    Returns:
        The interval over the blocks that both have; None if there are fewer than two.
    """
    blocks = sorted(base.keys() & other.keys())
    if len(blocks) < 2:
        return None
    return interval([other[block] / base[block] for block in blocks], log=True)


def per_block(trials: Sequence[Trial], quantity: str) -> dict[int, float]:
    """One figure per counted block.

    Args:
        trials: The trials of one network.
        quantity: "joules" or "seconds", per inference.

    Returns:
        Block number to quantity per inference; blocks without a reading above zero are left out.

    Raises:
        ValueError: Another quantity was asked for.
    """
    if quantity not in ("joules", "seconds"):
        raise ValueError(f"quantity must be 'joules' or 'seconds', not {quantity!r}")
    figures: dict[int, float] = {}
    for trial in counted(trials):
        reading = trial.joules if quantity == "joules" else trial.seconds
        if reading is not None and reading > 0:
            figures[trial.block] = reading / trial.inferences
    return figures


def wilson(successes: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share.

    Args:
        successes: How many, such as images classified correctly.
        total: Of how many; at least one.

    Source:
        E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    share, z2 = successes / total, Z_95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    reach = Z_95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    # Rounding would leave 1e-17 where the formula gives exactly nothing or everything.
    low = 0.0 if successes == 0 else centre - reach
    high = 1.0 if successes == total else centre + reach
    return low, high


def pack_hits(hits: Sequence[bool]) -> str:
    """One bit per image, first image first, as hexadecimal digits; the last digit is filled with zeros."""
    bits = "".join("1" if hit else "0" for hit in hits)
    digits = -(-len(bits) // 4)
    return f"{int(bits.ljust(digits * 4, '0') or '0', 2):0{digits}x}" if digits else ""


def unpack_hits(digits: str, images: int) -> list[bool]:
    """The inverse of `pack_hits`.

    Args:
        digits: Hexadecimal digits.
        images: How many images there are.

    Raises:
        ProfileError: The digits are not hexadecimal, or their number does not fit that of the images.
    """
    try:
        value = int(digits, 16)
    except ValueError:
        value = -1
    if value < 0 or len(digits) != -(-images // 4):
        raise ProfileError(
            "The map of correctly classified images cannot be read.",
            f"{images} images need {-(-images // 4)} hexadecimal digits; seen: {len(digits)} characters.",
            "Audit the model again; the profile was cut or changed by hand.",
        )
    return [bit == "1" for bit in f"{value:0{len(digits) * 4}b}"[:images]]


def counted(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that count: all but those of the discarded block."""
    return [trial for trial in trials if not trial.discarded]


def coefficient_of_variation(trials: Sequence[Trial]) -> float:
    """Standard deviation over mean of the seconds per inference of the counted trials."""
    rates = [trial.seconds / trial.inferences for trial in counted(trials)]
    mean = math.fsum(rates) / len(rates)
    return math.sqrt(math.fsum((rate - mean) ** 2 for rate in rates) / max(1, len(rates) - 1)) / mean


def idle_watts(idle: Idle) -> float | None:
    """Mean of the idle power before and after, in watts; None if neither is known."""
    known = [watts for watts in (idle.before_watts, idle.after_watts) if watts is not None]
    return math.fsum(known) / len(known) if known else None


def summarize(trials: Sequence[Trial], idle: Idle, batch_size: int) -> Summary:
    """Everything that a profile derives from its trials.

    Seconds and gross joules are averaged on the log scale; net joules, which may come out below zero,
    plainly.

    Args:
        trials: All trials of one network; the discarded block is left out here.
        idle: Power of the idle machine.
        batch_size: Inferences per call.

    Raises:
        ValueError: Fewer than two trials count.
    """
    kept = counted(trials)
    seconds = interval([trial.seconds / trial.inferences for trial in kept], log=True)
    with_energy = [(trial, trial.joules) for trial in kept if trial.joules is not None and trial.joules > 0]
    enough, rest = len(with_energy) >= 2, idle_watts(idle)
    gross = (
        interval([joules / trial.inferences for trial, joules in with_energy], log=True) if enough else None
    )
    net = (
        interval([(joules - rest * trial.seconds) / trial.inferences for trial, joules in with_energy])
        if enough and rest is not None
        else None
    )
    return Summary(
        seconds_per_inference=seconds,
        seconds_per_batch=Interval(
            mean=seconds.mean * batch_size,
            low=seconds.low * batch_size,
            high=seconds.high * batch_size,
            trials=seconds.trials,
        ),
        inferences_per_second=1 / seconds.mean,
        joules_per_inference=gross,
        net_joules_per_inference=net,
    )
