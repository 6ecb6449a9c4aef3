"""Accuracies: the interval of a share, and the map of correctly classified images."""

from __future__ import annotations

import math
from collections.abc import Sequence

from greenadapt.errors import ProfileError
from greenadapt.statistics.intervals import Z_95


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
