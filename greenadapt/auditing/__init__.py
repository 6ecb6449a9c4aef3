"""Audit: interleaved trials of one or more networks, one efficiency profile each; `measure` and `window`.

The timeline of an audit of A and B:

    load     A and B copied to the device; classes, channels and one call of each checked
    look     accuracy, multiply-accumulates and paths over all images
    idle     power with everything loaded                              (plan.idle_seconds)
    warm     A until two windows agree within 1 %, then B              (at most plan.warmup_seconds each)
    period   on a board: the counter's period, under load
    block 0  A B                                                       discarded whole
    block 1  B A            each trial: a short random pause, then whole batches
    block 2  A B            of images for plan.trial_seconds, the device
     ...                    synchronised and the meter read at both ends
    block n  A B                                                       n = plan.trials
    idle     power again

`audit` calls the hook ``greenadapt_run_audit``, so that a plugin may wrap it to lock clocks, cool down
or log; `run_audit` is what greenadapt itself answers.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from greenadapt.auditing.instruments import Instrument, open_instrument
from greenadapt.auditing.stretches import Measurement as Measurement
from greenadapt.auditing.stretches import Window as Window
from greenadapt.auditing.stretches import measure as measure
from greenadapt.auditing.stretches import window as window
from greenadapt.auditing.trials import planned_seconds as planned_seconds
from greenadapt.carbon import carbon_at, grid_of
from greenadapt.errors import OptionError
from greenadapt.interfaces import AuditRequest
from greenadapt.profile import Plan, Profile

if TYPE_CHECKING:
    from torch import nn

    from greenadapt.auditing.trials import Progress


def audit(
    *models: nn.Module,
    data: Any = None,
    plan: Plan | None = None,
    names: Sequence[str] | None = None,
    places: Sequence[str] = (),
    roles: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Profile | list[Profile]:
    """Measures what one inference costs, and how often it is right.

    Args:
        *models: Classifiers, [B, C, H, W] to [B, classes]; worked on as copies.
        data: What `greenadapt.open_data` returns, or a DataLoader that does not shuffle; None takes
            random images of the size that each network was made for.
        plan: Batch size, precision, trials and the rest; `Plan()` by default.
        names: What to call the networks; unique.
        places: ISO 3166-1 alpha-3 codes for the carbon figures.
        roles: "base", "retrofit" or "rival" by name.
        progress: Called with a line per phase and the fraction done.

    Returns:
        One profile for one network, else a list in the order given.

    Raises:
        OptionError: No network, names that do not fit, an unknown place, device or meter.
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
    )
    profiles = plugins.hook().greenadapt_run_audit(request=request)
    return profiles[0] if len(profiles) == 1 else list(profiles)


def run_audit(request: AuditRequest) -> list[Profile]:
    """What greenadapt answers to the hook ``greenadapt_run_audit``.

    Raises:
        OptionError: As `audit`.
        DataError: As `audit`.
        MeasurementError: As `audit`.
    """
    from greenadapt.auditing.session import Session
    from greenadapt.machine import resolve_device

    for place in request.places:
        grid_of(place)
    device = resolve_device(request.plan.device)
    with closing(open_instrument(request.plan.meter, device)) as instrument:
        return _profiles(Session(request, instrument), request, instrument)


def _profiles(session: Any, request: AuditRequest, instrument: Instrument) -> list[Profile]:
    session.prepare()
    session.look()
    session.run()
    run_id, created = uuid.uuid4().hex, datetime.now(UTC).isoformat(timespec="seconds")
    profiles = []
    for name in request.models:
        profile: Profile = session.profile(name, run_id, created)
        gross, info = profile.summary.joules_per_inference, instrument.info
        if gross is not None and info is not None:
            carbon = carbon_at(gross.mean, info.kind, request.places)
            profile = profile.model_copy(update={"carbon": carbon})
        profiles.append(profile.sealed())
    return profiles


def _named(models: Sequence[nn.Module], names: Sequence[str] | None) -> dict[str, nn.Module]:
    if not models:
        raise OptionError("There is nothing to audit.", "No network was given.", "Pass at least one.")
    if names is None:
        return _unique(models)
    if len(names) != len(models) or len(set(names)) != len(names):
        raise OptionError(
            "The names do not fit the networks.",
            f"{len(models)} networks, names: {', '.join(names)}.",
            "Give each network one name of its own.",
        )
    return dict(zip(names, models, strict=True))


def _unique(models: Sequence[nn.Module]) -> dict[str, nn.Module]:
    from greenadapt.auditing.session import default_name

    named: dict[str, nn.Module] = {}
    for model in models:
        name = base = default_name(model)
        number = 1
        while name in named:
            number += 1
            name = f"{base}-{number}"
        named[name] = model
    return named
