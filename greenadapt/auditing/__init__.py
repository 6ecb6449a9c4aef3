"""Audit: interleaved trials of one or more networks, one efficiency profile each; `measure` and `window`.

The timeline of an audit of A and B; with a sweep, each network under each combination of settings is one
of them:

    load     copies on the device, one per network, precision and memory format; each called once
    look     accuracy, multiply-accumulates and decisions over all images, once per network and precision
    idle     power with everything loaded and the device's context created       (plan.idle_seconds)
    warm     A until two windows agree within 1 %, then B                 (at most plan.warmup_seconds each)
    probe    the counter's period U, under load on this very board
    block 0  A B B A    discarded whole
    block 1  B A A B    a palindrome, so that what drifts evenly cancels inside each block. Each trial: a
    block 2  A B B A    random pause, then whole batches for max(plan.trial_seconds, 50 U), the load running
     ...                past both ends of what the counter is read for
    pilot    ---------  after plan.trials trials of each: how many blocks bring the interval of the worst
    block n  B A A B    paired ratio within plan.target_fraction; settled once, within plan.budget_seconds
     ...
    paths    of networks that decide image by image: short trials on images of one path, in what time is left
    idle     power again

Gross joules per inference are the headline, idle-subtracted ones stand beside them; raw trials are kept.

`audit` calls the hook ``greenadapt_run_audit``, so that a plugin may wrap it to lock clocks, cool down
or log; `run_audit` is what greenadapt itself answers.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from greenadapt.auditing.instruments import Instrument, open_instrument
from greenadapt.auditing.settings import checked_sweep
from greenadapt.auditing.stretches import Measurement as Measurement
from greenadapt.auditing.stretches import Window as Window
from greenadapt.auditing.stretches import measure as measure
from greenadapt.auditing.stretches import window as window
from greenadapt.auditing.trials import planned_seconds as planned_seconds
from greenadapt.carbon import CarbonInputs
from greenadapt.errors import OptionError
from greenadapt.interfaces import AuditRequest
from greenadapt.profile import Plan, Profile

if TYPE_CHECKING:
    from torch import nn

    from greenadapt.auditing.session import Session
    from greenadapt.auditing.trials import Progress

    Network = nn.Module | Callable[..., Any]


def audit(
    *models: nn.Module | Callable[..., Any],
    data: Any = None,
    plan: Plan | None = None,
    names: Sequence[str] | None = None,
    places: Sequence[str] = (),
    roles: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    sweep: Mapping[str, Any] | None = None,
    carbon: CarbonInputs | None = None,
) -> Profile | list[Profile]:
    """Measures what one inference costs, and how often it is right.

    Args:
        *models: Classifiers, [B, C, H, W] to [B, classes]; networks are worked on as copies. An engine of
            another make is a function of such images, called as it is: its weights and counts are unknown.
        data: What `greenadapt.open_data` returns, or a DataLoader that does not shuffle; None takes
            random images of the size that each network was made for.
        plan: Batch size, precision, trials and the rest; `Plan()` by default.
        names: What to call the networks; unique.
        places: ISO 3166-1 alpha-3 codes for the carbon figures.
        roles: "base", "retrofit" or "rival" by name.
        progress: Called with a line per phase and the fraction done.
        sweep: Settings to measure each network under, in the same run: ``{"precision": ["fp32", "bf16"],
            "compile": [False, True], "format": ["channels_last"], "batch": [1, 32]}``. The first values
            are the base; any other combination that a network cannot run is left out, and the base's
            profile says so.
        carbon: Grids of one's own, PUE and embodied carbon for the carbon figures.

    Returns:
        One profile for one network without a sweep, else a list in the order given.

    Raises:
        OptionError: No network, names that do not fit, an unknown place, device, meter or setting.
        DataError: Classes, channels or size do not fit a network.
        MeasurementError: The meter that was asked for cannot be used.
    """
    from greenadapt import plugins

    request = AuditRequest(
        models=_named(models, names),
        plan=plan or Plan(),
        data=data,
        places=tuple(places),
        roles=dict(roles or {}),
        progress=progress,
        sweep=checked_sweep(sweep or {}),
        carbon=carbon,
    )
    profiles = plugins.hook().greenadapt_run_audit(request=request)
    return profiles[0] if len(profiles) == 1 and not sweep else list(profiles)


def run_audit(request: AuditRequest) -> list[Profile]:
    """What greenadapt answers to the hook ``greenadapt_run_audit``.

    Raises:
        OptionError: As `audit`.
        DataError: As `audit`.
        MeasurementError: As `audit`.
    """
    from greenadapt.auditing.session import Session
    from greenadapt.machine import resolve_device

    carbon = (request.carbon or CarbonInputs()).at(request.places)
    carbon.wanted()
    device = resolve_device(request.plan.device)
    with (
        closing(open_instrument(request.plan.meter, device)) as instrument,
        Session(request, instrument) as session,
    ):
        session.prepare()
        session.look()
        session.run()
        return _profiles(session, carbon, instrument)


def _profiles(session: Session, carbon: CarbonInputs, instrument: Instrument) -> list[Profile]:
    run_id, created = uuid.uuid4().hex, datetime.now(UTC).isoformat(timespec="seconds")
    profiles = []
    for name in session.names:
        profile = session.profile(name, run_id, created)
        gross, info = profile.summary.joules_per_inference, instrument.info
        if gross is not None and info is not None:
            seconds = profile.summary.seconds_per_inference.mean
            figures = carbon.figures(gross.mean, seconds, info.kind)
            profile = profile.model_copy(update={"carbon": figures})
        profiles.append(profile.sealed())
    return profiles


def _named(models: Sequence[Network], names: Sequence[str] | None) -> dict[str, Network]:
    if not models:
        raise OptionError("There is nothing to audit.", "No network was given.", "Pass at least one.")
    for model in models:
        if not callable(model):
            raise OptionError(
                "This is nothing that can be audited.",
                f"It is {model!r}.",
                "Pass networks, such as greenadapt.open_model(...) returns, or functions of images.",
            )
    if names is None:
        return _unique(models)
    if len(names) != len(models) or len(set(names)) != len(names):
        raise OptionError(
            "The names do not fit the networks.",
            f"{len(models)} networks, names: {', '.join(names)}.",
            "Give each network one name of its own.",
        )
    return dict(zip(names, models, strict=True))


def _unique(models: Sequence[Network]) -> dict[str, Network]:
    from greenadapt.auditing.subjects import default_name

    named: dict[str, Network] = {}
    for model in models:
        name = base = default_name(model)
        number = 1
        while name in named:
            number += 1
            name = f"{base}-{number}"
        named[name] = model
    return named
