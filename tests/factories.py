"""Profiles for tests: real pydantic objects whose summary is computed from their trials.

They are of schema 1.0, whose blocks ran each network once; `tests.test_recompute.audited` makes newer ones.
"""

import hashlib
import random
from typing import Any

from greenadapt.profile import (
    Conditions,
    Idle,
    Machine,
    Method,
    Plan,
    Profile,
    Quality,
    Subject,
    Trial,
    Validity,
)
from greenadapt.recipe import Base, Recipe, Training
from greenadapt.statistics import pack_hits, summarize, wilson

CONDITIONS = Conditions(
    device="Test CPU",
    device_type="cpu",
    batch_size=32,
    precision="fp32",
    input_shape=(1, 28, 28),
    memory_format="channels_last",
    compile=False,
    threads=2,
    data="real",
    torch="2.15.0",
)
MACHINE = Machine(
    cpu="Test CPU",
    cores=2,
    memory_bytes=8 << 30,
    os="Linux",
    python="3.11",
    torch="2.15.0",
    timm="1.0.31",
    greenadapt="0.1.0",
)
MEASURED = Method(
    meter="nvml", kind="measured", scope="gpu", estimator="slope at ticks", systematic_fraction=0.05
)
ESTIMATED = Method(meter="codecarbon", kind="estimated", scope="machine", estimator="difference")


def training(joules: float | None = 900.0) -> Training:
    return Training(
        dataset="fashion-mnist",
        images=60000,
        epochs=2,
        batch_size=128,
        learning_rate=0.1,
        weight_decay=5e-4,
        optimizer="sgd",
        seed=0,
        objective="blockdrop",
        teacher="base",
        seconds=30.0,
        joules=joules,
        energy_kind="measured" if joules is not None else None,
        val_top1=0.9,
        curve=[{"loss": 0.5, "top1": 0.85}, {"loss": 0.4, "top1": 0.9}],
    )


def quality(correct: int, images: int = 200, flip: int = 0, fingerprint: str = "f" * 8) -> Quality:
    """The first `correct` images right; `flip` shifts which ones by that many places."""
    hits = [flip <= index < correct + flip for index in range(images)]
    low, high = wilson(correct, images)
    return Quality(
        dataset="fashion-mnist-2000",
        fingerprint=fingerprint,
        images=images,
        hits=pack_hits(hits),
        top1=correct / images,
        top1_low=low,
        top1_high=high,
    )


def trials(seconds: float, watts: float | None, blocks: int, noise: float, seed: int) -> list[Trial]:
    drift, own = random.Random(1), random.Random(seed)
    made = []
    for block in range(blocks + 1):
        slow = 1 + 0.05 * drift.random()
        spent = 320 * seconds * slow * (1 + noise * own.uniform(-1, 1))
        made.append(
            Trial(
                block=block,
                order=block,
                started_seconds=float(block),
                seconds=spent,
                calls=10,
                inferences=320,
                joules=None if watts is None else watts * spent,
                discarded=block == 0,
            )
        )
    return made


def profile(
    name: str = "base",
    *,
    seconds: float = 1e-3,
    watts: float | None = 50.0,
    method: Method = MEASURED,
    correct: int | None = 180,
    flip: int = 0,
    adapter: str | None = None,
    trained: tuple[Training, ...] = (),
    macs: float | None = 40e6,
    parameters: int = 270_000,
    run_id: str = "run-1",
    blocks: int = 6,
    noise: float = 0.005,
    weights: str = "trained",
    weights_sha256: str | None = "0" * 64,
    validity: Validity | None = None,
    conditions: dict[str, Any] | None = None,
    **changes: Any,
) -> Profile:
    readings = trials(
        seconds, watts, blocks, noise, seed=int(hashlib.sha256(name.encode()).hexdigest()[:6], 16)
    )
    idle = Idle(before_watts=None if watts is None else 10.0, after_watts=None if watts is None else 10.0)
    made = Profile(
        format="greenadapt/efficiency-profile",
        schema_version="1.0",
        run_id=run_id,
        created="2026-01-01T00:00:00Z",
        subject=Subject(
            name=name,
            reference=f"timm:{name}",
            recipe=Recipe(
                greenadapt_version="0.1.0",
                base=Base(name="cifar_resnet20", model_args={"num_classes": 10}, weights="trained"),
                adapter=adapter,
                options={"keep": 0.6} if adapter else {},
                training=list(trained),
            ),
            weights_sha256=weights_sha256,
            weights=weights,  # type: ignore[arg-type]
            parameters=parameters,
            macs_per_image=macs,
        ),
        conditions=CONDITIONS.model_copy(update=conditions or {}),
        plan=Plan.quick_look(trials=blocks),
        machine=MACHINE,
        method=method,
        trials=readings,
        idle=idle,
        quality=None if correct is None else quality(correct, flip=flip),
        summary=summarize(readings, idle, CONDITIONS.batch_size),
        validity=validity or Validity(status="valid"),
    )
    return made.model_copy(update=changes).sealed()
