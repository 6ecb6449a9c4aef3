"""What a training depends on besides model and data; refused before anything is done with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Literal

from greenadapt.adapters.options import check_whole, put
from greenadapt.errors import OptionError

_RATE = "Use more than 0."
_DECAY = "Use 0 for none, or a small number such as 5e-4."
_MIXUP = "Use 0 for none, or the alpha of a Beta distribution, such as 1."
_SHARE = "Use more than 0, up to 1, with which the labels count for nothing."


@dataclass(frozen=True)
class Settings:
    """The settings of `greenadapt.finetune`, as numbers of Python; a checkpoint resumes only under the same.

    Raises:
        OptionError: One is out of range, or of another type.
    """

    epochs: int = 5
    batch_size: int = 128
    learning_rate: float | None = None
    weight_decay: float = 5e-4
    seed: int = 0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    mixup: float = 0.0
    teacher_share: float = 0.5
    freeze_norms: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        put(
            self,
            epochs=check_whole("epochs", self.epochs, 1),
            batch_size=check_whole("batch_size", self.batch_size, 1),
            seed=check_whole("seed", self.seed, 0, 2**63 - 1),
            weight_decay=_number("weight_decay", self.weight_decay, _DECAY),
            mixup=_number("mixup", self.mixup, _MIXUP),
            teacher_share=_number("teacher_share", self.teacher_share, _SHARE),
        )
        if self.learning_rate is not None:
            rate = _number("learning_rate", self.learning_rate, _RATE)
            if rate == 0:
                raise _out_of_range("learning_rate", rate, _RATE)
            put(self, learning_rate=rate)
        if self.precision not in ("fp32", "bf16", "fp16"):
            raise OptionError(
                "The precision is not known.", f"precision={self.precision!r}", "Use fp32, bf16 or fp16."
            )
        if not 0 < self.teacher_share <= 1:
            raise _out_of_range("teacher_share", self.teacher_share, _SHARE)


def _number(name: str, value: object, advice: str) -> float:
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= float(value) < math.inf:
        raise _out_of_range(name, value, advice)
    return float(value)


def _out_of_range(name: str, value: object, advice: str) -> OptionError:
    return OptionError(f"{name} is out of range.", f"{name}={value!r}", advice)
