"""Which network was audited, under which conditions, and where."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from greenadapt.profile.plan import Part, Precision
from greenadapt.recipe import Recipe, Weights


class Subject(Part):
    """Which network was audited."""

    name: str
    reference: str
    """How to open it: ``timm:resnet50.a1_in1k`` or the folder it was loaded from."""
    recipe: Recipe
    weights_sha256: str | None
    """None of an engine that is only called, as are its parameters and its multiply-accumulates."""
    weights: Weights
    parameters: int | None
    macs_per_image: float | None
    """Multiply-accumulates of convolutions and linear layers per image, as executed on the audited
    images: policy and branches included. FLOPs in the sense of BlockDrop's paper are twice this."""
    role: Literal["base", "retrofit", "rival"] | None = None


class Conditions(Part):
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
    """Of one board; of several that compute together, of all of them together."""
    tf32: Literal["off", "convolutions", "matmuls", "both"] | None = None
    """Where torch may round fp32 to TF32 on a board; None on a processor."""
    max_sm_clock_mhz: float | None = None
    application_sm_clock_mhz: float | None = None
    """What the board's clock is set to, where NVML tells; recorded, never changed."""


class Machine(Part):
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
