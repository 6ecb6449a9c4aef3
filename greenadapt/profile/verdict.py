"""Whether the numbers may be used, and what that rests on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from greenadapt.profile.plan import Kind, Part


class Agreement(Part):
    """CodeCarbon beside the boards' own counters, over one stretch around all trials."""

    seconds: float | None = None
    own_joules: float | None = None
    """By the boards' counters, read right before and right after CodeCarbon read them."""
    codecarbon_joules: float | None = None
    """CodeCarbon's energy of the same boards."""
    relative_difference: float | None = None
    """(CodeCarbon - own) / own."""
    doubt_fraction: float | None = None
    """How much the two may differ by their moments of reading alone."""
    machine_joules: float | None = None
    """CodeCarbon's figure for processor, memory and boards, over the same stretch."""
    machine_kind: Kind = "estimated"
    version: str | None = None
    """CodeCarbon's."""
    why_not: str | None = None
    """Why there is no comparison, where there is none."""


class BoardFacts(Part):
    """What was seen of one board during the trials; None is unknown."""

    uuid_sha256: str
    looks: int
    """How often the board was looked at."""
    seconds: float
    other_processes: int | None = None
    """The most at one look."""
    throttled_seconds: dict[str, float] = Field(default_factory=dict)
    """By policy: power, thermal, sync boost, board limit, reliability; what NVML does not tell is missing."""
    clock_reasons: dict[str, int] = Field(default_factory=dict)
    """At how many looks each of NVML's reasons to hold the clock down was given."""
    sm_clock_mhz: float | None = None
    clock_drift_fraction: float | None = None
    temperature_first_celsius: float | None = None
    temperature_last_celsius: float | None = None
    temperature_motion_celsius: float | None = None
    """How far it still moved within the second half of the trials."""
    power_limits_watts: list[float] = Field(default_factory=list)
    polled_watts: float | None = None
    counter_watts: float | None = None
    counter_resets: int | None = None
    ecc: bool | None = None
    persistence: bool | None = None
    mig: bool | None = None
    compute_mode: int | None = None


class Validity(Part):
    """Whether the numbers may be used."""

    status: Literal["valid", "suspect", "invalid"]
    reasons: list[str] = Field(default_factory=list)
    boards: list[BoardFacts] = Field(default_factory=list)
    """What the reasons rest on, a board each; empty where no board was watched."""
    crosscheck: Agreement | None = None
    """CodeCarbon's figure beside the boards' own; None where no board was measured."""
