"""The efficiency profile: what was measured, on what, how, and what follows from it.

    Profile
    ├── subject      which network: reference, recipe, weights, parameters, MACs
    ├── conditions   what the number depends on: device, batch, precision, resolution, versions
    ├── plan         what was asked of the audit
    ├── machine      where it ran
    ├── method       which instrument, what it covers, "measured" or "estimated"
    ├── trials       the raw readings, every one of them, the discarded block included
    ├── idle         power of the idle machine before and after
    ├── quality      which test images were classified correctly
    ├── execution    what the adapter did: blocks kept, paths taken
    ├── validity     valid, suspect or invalid, with reasons
    └── summary, carbon      derived from the above; `greenadapt check` computes them again

Unknown is None, never zero. Energy is in joules, mass in grams, time in seconds.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from greenadapt.recipe import Recipe

SCHEMA_VERSION = "1.0"
Kind = Literal["measured", "estimated"]
Precision = Literal["fp32", "fp16", "bf16"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Plan(_Part):
    """What an audit is asked to do.

    A quick plan (`Plan.quick_look()`) trades width of the interval for time and says so in the profile.
    """

    batch_size: PositiveInt = 32
    precision: Precision = "fp32"
    trials: int = Field(default=10, ge=2)
    """Counted trials per model; an even number keeps the order balanced (ABBA)."""
    trial_seconds: PositiveFloat = 5.0
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
        """A plan for a first look: 4 trials of one second a model. Its intervals are wide."""
        settings: dict[str, Any] = {
            "trials": 4,
            "trial_seconds": 1.0,
            "warmup_seconds": 2.0,
            "idle_seconds": 1.0,
            "quick": True,
        }
        return cls(**(settings | changes))


class Subject(_Part):
    """Which network was audited."""

    name: str
    reference: str
    """How to open it: ``timm:resnet50.a1_in1k`` or the folder it was loaded from."""
    recipe: Recipe
    weights_sha256: str
    weights: Literal["pretrained", "trained", "random"]
    parameters: int
    macs_per_image: float | None
    """Multiply-accumulates of convolutions and linear layers per image, as executed on the audited
    images: policy and branches included. FLOPs in the sense of BlockDrop's paper are twice this."""
    role: Literal["base", "retrofit", "rival"] | None = None


class Conditions(_Part):
    """What the numbers depend on; profiles whose conditions differ are not compared."""

    device: str
    """Name of the processor or board."""
    device_type: str
    batch_size: int
    precision: Precision
    input_shape: tuple[int, int, int]
    """Channels, height, width."""
    memory_format: Literal["channels_last", "contiguous"]
    compile: bool
    threads: int
    data: Literal["real", "random"]
    torch: str
    driver: str | None = None
    power_limit_watts: float | None = None


class Machine(_Part):
    """Where the audit ran."""

    cpu: str
    cores: int
    memory_bytes: int | None
    os: str
    python: str
    torch: str
    timm: str
    greenadapt: str
    codecarbon: str | None = None
    gpus: list[dict[str, Any]] = Field(default_factory=list)
    """Per board: name, uuid_sha256, driver, memory_bytes, power_limit_watts and what else NVML tells."""


class Method(_Part):
    """Which instrument read the joules, and what it covers."""

    meter: str | None
    kind: Kind | None
    """"measured" by a counter, "estimated" as a constant power times time, None without any meter."""
    scope: str | None
    """What the joules cover: "gpu", "cpu package", "machine"."""
    estimator: str | None
    """How joules were got from readings: "slope at ticks" or "difference"."""
    period_seconds: float | None = None
    """The counter's update period, as found on this board."""
    why_not: str | None = None
    """Why there is no energy figure, or why it is only estimated."""
    systematic_fraction: float | None = None
    """Stated uncertainty of the absolute joules, common to all figures of one board."""


class Trial(_Part):
    """One stretch of repeated calls of one model."""

    block: int
    """Each block runs every network once, every other block in reverse (ABBA); block 0 is discarded."""
    order: int
    """Position in the whole run."""
    started_seconds: float
    """Since the start of the run."""
    seconds: PositiveFloat
    calls: PositiveInt
    inferences: PositiveInt
    joules: float | None
    """Energy of these calls; None without a meter or where the trial was too short to tell."""
    discarded: bool = False


class Idle(_Part):
    """Power of the idle machine, with everything loaded, before and after the trials."""

    before_watts: float | None
    after_watts: float | None


class Quality(_Part):
    """What was classified correctly."""

    dataset: str
    fingerprint: str
    images: PositiveInt
    hits: str
    """One bit per image, in order, most significant first, as hexadecimal digits: 1 is correct."""
    top1: float
    top1_low: float
    top1_high: float
    """Wilson interval at 95 %."""


class Execution(_Part):
    """What an adaptive model did on the audited images."""

    blocks: int
    blocks_kept_mean: float
    paths: int
    """How many distinct paths the images took."""
    path_shares: dict[str, float] = Field(default_factory=dict)
    """The commonest paths as strings of 0 and 1, one digit a block, with their share of the images."""


class Interval(_Part):
    """A mean over trials with its 95 % interval (Student's t over the trials)."""

    mean: float
    low: float
    high: float
    trials: int


class Summary(_Part):
    """Everything derived from the trials."""

    seconds_per_inference: Interval
    seconds_per_batch: Interval
    inferences_per_second: float
    joules_per_inference: Interval | None
    """Gross: idle power included."""
    net_joules_per_inference: Interval | None
    """With the mean idle power subtracted."""


class Carbon(_Part):
    """Grams of CO2 equivalent, location-based."""

    place: str
    """ISO 3166-1 alpha-3 code."""
    grams_per_kwh: float
    source: str
    year: int | None
    grams_per_1000_inferences: float
    kind: Kind


class Validity(_Part):
    """Whether the numbers may be used."""

    status: Literal["valid", "suspect", "invalid"]
    reasons: list[str] = Field(default_factory=list)


class Profile(_Part):
    """The efficiency profile of one network under one set of conditions."""

    format: Literal["greenadapt/efficiency-profile"] = "greenadapt/efficiency-profile"
    schema_version: str = SCHEMA_VERSION
    profile_id: str = ""
    """SHA-256 of everything else; see `sealed`."""
    run_id: str
    """Shared by the profiles of one interleaved run: only these are compared trial by trial."""
    created: str
    """UTC, ISO 8601."""
    subject: Subject
    conditions: Conditions
    plan: Plan
    machine: Machine
    method: Method
    trials: list[Trial]
    idle: Idle
    quality: Quality | None = None
    execution: Execution | None = None
    summary: Summary
    carbon: list[Carbon] = Field(default_factory=list)
    validity: Validity

    def body_sha256(self) -> str:
        """SHA-256 of the canonical JSON of everything but `profile_id`."""
        body = self.model_dump(mode="json", exclude={"profile_id"})
        canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def sealed(self) -> Profile:
        """The same profile with `profile_id` filled in."""
        return self.model_copy(update={"profile_id": self.body_sha256()})

    def to_json(self) -> str:
        """The profile as indented JSON text, ending in a newline."""
        return self.model_dump_json(indent=2) + "\n"
