"""What an audit is asked to do."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

Kind = Literal["measured", "estimated"]
LEAST_TARGET = 1e-4
"""The narrowest interval that can be asked for; no counter's readings repeat so well."""
Precision = Literal["fp32", "fp16", "bf16"]


class Part(BaseModel):
    """A part of a profile: frozen, nothing beside its fields, no infinite figures."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Plan(Part):
    """What an audit is asked to do.

    A quick plan (`Plan.quick_look()`) trades width of the interval for time and says so in the profile.
    """

    batch_size: PositiveInt = 32
    precision: Precision = "fp32"
    trials: int = Field(default=10, ge=2)
    """Counted trials per model in the pilot. A block holds two of each (ABBA), so it is rounded up to an
    even number; two blocks are the least that an interval can be had from."""
    trial_seconds: PositiveFloat = 5.0
    """Length of a trial; a counter that moves slowly makes it longer (50 of its periods; quick: 10)."""
    target_fraction: float | None = Field(default=0.01, ge=LEAST_TARGET, le=1.0)
    """How far the interval of a ratio may reach to either side; a second stage of blocks is sized from the
    pilot to get there; from 0.0001 to 1. None leaves the second stage out."""
    budget_seconds: NonNegativeFloat = 1200.0
    """Time that all trials together may take; it bounds the second stage, not the pilot."""
    warmup_seconds: PositiveFloat = 60.0
    """Upper bound on the warm-up of one model; it ends when the last two windows agree within 1 %."""
    idle_seconds: NonNegativeFloat = 5.0
    """Length of the idle baseline before and after; 0 leaves it out."""
    device: str = "auto"
    """A torch device, or "auto": the first CUDA device if there is one, else the CPU."""
    meter: str = "auto"
    memory_format: Literal["channels_last", "contiguous"] = "channels_last"
    compile: bool = False
    seed: int = 0
    quick: bool = False

    @classmethod
    def quick_look(cls, **changes: Any) -> Plan:
        """A plan for a first look: 6 trials of half a second, no second stage. Its intervals are wide."""
        settings: dict[str, Any] = {
            "trials": 6,
            "trial_seconds": 0.5,
            "warmup_seconds": 2.0,
            "idle_seconds": 1.0,
            "target_fraction": None,
            "quick": True,
        }
        return cls(**(settings | changes))
