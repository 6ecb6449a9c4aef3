"""One audit from loading to profiles; the timeline is drawn in `greenadapt.auditing`."""

from __future__ import annotations

from typing import Any, Literal, cast

from torch import Tensor, nn

from greenadapt.auditing.accuracy import Tally, accuracy_pass
from greenadapt.auditing.instruments import Instrument, Step
from greenadapt.auditing.trials import Progress, Run, run_trials, warm_up
from greenadapt.auditing.validity import judge
from greenadapt.auditing.workload import Workload, check_runs, ready_copy, step_of
from greenadapt.boards import BoardState, board_state
from greenadapt.errors import ModelError
from greenadapt.inspection import looks_untrained
from greenadapt.interfaces import AuditRequest
from greenadapt.machine import cores_of_others, describe_conditions, describe_machine, processor_time
from greenadapt.models import recipe_of
from greenadapt.profile import Idle, Method, Profile, Subject, Summary
from greenadapt.recipe import Base, Recipe
from greenadapt.statistics import summarize
from greenadapt.storage import weights_sha256

_LOOKED, _WARMED = 0.15, 0.3
Weights = Literal["pretrained", "trained", "random"]


class Session:
    """One interleaved run.

    Args:
        request: What to audit.
        instrument: What measures, on the device to audit on.

    Raises:
        DataError: The data cannot be audited on.
    """

    def __init__(self, request: AuditRequest, instrument: Instrument) -> None:
        self._request = request
        self._plan = request.plan
        self._instrument = instrument
        self._workload = Workload(request.plan, instrument.device, request.data)
        self._models: dict[str, nn.Module] = {}
        self._pools: dict[str, list[Tensor]] = {}
        self._steps: dict[str, Step] = {}
        self._tallies: dict[str, Tally] = {}
        self._digest = ""
        self._run = Run({})
        self._idle = Idle(before_watts=None, after_watts=None)
        self._states = (BoardState(), BoardState())
        self._others_cores: float | None = None

    def prepare(self) -> None:
        """Copies the networks to the device and makes sure that each runs on the images.

        Raises:
            DataError: Classes, channels or size do not fit.
            OptionError: A network does not run in the precision asked for, or not compiled.
        """
        shared: list[Tensor] | None = None
        for number, (name, model) in enumerate(self._request.models.items()):
            self._progress(f"loading {name}", 0.0, _LOOKED, number / len(self._request.models))
            self._workload.check_fits(model, name)
            self._models[name] = ready_copy(model, self._plan, self._instrument.device)
            # Real images are the same for all; random ones have the size that each network wants.
            shared = shared if shared is not None and self._workload.data is not None else None
            pool = shared if shared is not None else self._workload.pool(model)
            shared, self._pools[name] = pool, pool
            self._steps[name] = step_of(self._models[name], pool, self._plan.compile)
            check_runs(self._steps[name], name, self._plan)

    def look(self) -> None:
        """Runs all networks over all images once.

        Raises:
            DataError: A label that a network has no class for.
        """
        self._tallies, self._digest = accuracy_pass(
            self._models, self._workload, self._part(_LOOKED / 2, _LOOKED)
        )

    def run(self) -> None:
        """Idle, warm-up, trials, idle."""
        plan, instrument = self._plan, self._instrument
        self._progress("idle baseline", _LOOKED, _WARMED, 0.0)
        before = instrument.idle_watts(plan.idle_seconds)
        for number, (name, step) in enumerate(self._steps.items()):
            self._progress(f"warming up {name}", _LOOKED, _WARMED, number / len(self._steps))
            warm_up(instrument, step, plan)
        instrument.find_period(next(iter(self._steps.values())))
        state, busy = board_state(instrument.device), processor_time()
        self._run = run_trials(instrument, self._steps, plan, self._part(_WARMED, 1.0))
        self._states = (state, board_state(instrument.device))
        if instrument.device == "cpu":
            self._others_cores = cores_of_others(busy, processor_time())
        self._progress("idle baseline", 1.0, 1.0, 0.0)
        self._idle = Idle(before_watts=before, after_watts=instrument.idle_watts(plan.idle_seconds))

    def profile(self, name: str, run_id: str, created: str) -> Profile:
        """The profile of one network, without carbon and unsealed."""
        subject = self._subject(name)
        trials, tally = self._run.trials[name], self._tallies[name]
        summary: Summary = summarize(trials, self._idle, self._plan.batch_size)
        return Profile(
            run_id=run_id,
            created=created,
            subject=subject,
            conditions=describe_conditions(
                self._plan, self._instrument.device, _shape(self._pools[name][0]), self._workload.kind
            ),
            plan=self._plan,
            machine=describe_machine(),
            method=self._method(summary, name),
            trials=trials,
            idle=self._idle,
            quality=(
                tally.quality(self._workload.name, self._workload.fingerprint(self._digest))
                if tally.hits
                else None
            ),
            execution=tally.execution,
            summary=summary,
            validity=judge(
                plan=self._plan,
                trials=trials,
                info=self._instrument.info,
                failures=self._run.failures.get(name, []),
                before=self._states[0],
                after=self._states[1],
                others_cores=self._others_cores,
                weights=subject.weights,
                data=self._workload.kind,
            ),
        )

    def _subject(self, name: str) -> Subject:
        model = self._request.models[name]
        recipe = recipe_or_class(model)
        role = self._request.roles.get(name)
        return Subject(
            name=name,
            reference=reference_of(model, recipe),
            recipe=recipe,
            weights_sha256=weights_sha256(model.state_dict()),
            weights="trained" if recipe.training else recipe.base.weights,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            macs_per_image=self._tallies[name].macs_per_image,
            role=cast('Literal["base", "retrofit", "rival"] | None', role),
        )

    def _method(self, summary: Summary, name: str) -> Method:
        info, instrument = self._instrument.info, self._instrument
        failures = self._run.failures.get(name, [])
        known = summary.joules_per_inference is not None
        return Method(
            meter=info.name if info is not None else None,
            kind=info.kind if info is not None and known else None,
            scope=info.scope if info is not None else None,
            estimator=instrument.estimator,
            period_seconds=info.period_seconds if info is not None else None,
            why_not=instrument.why_not or (" ".join(failures) if not known else None),
            systematic_fraction=info.systematic_fraction if info is not None else None,
        )

    def _progress(self, message: str, start: float, end: float, share: float) -> None:
        self._part(start, end)(message, share)

    def _part(self, start: float, end: float) -> Progress:
        tell: Any = self._request.progress

        def report(message: str, share: float) -> None:
            if tell is not None:
                tell(message, start + (end - start) * share)

        return report


def recipe_or_class(model: nn.Module) -> Recipe:
    """The recipe of a network; for one that nobody knows, a note of its class."""
    try:
        return recipe_of(model)
    except ModelError:
        kind = type(model)
        weights: Weights = "random" if looks_untrained(model) else "trained"
        return Recipe(
            base=Base(source="python", name=f"{kind.__module__}.{kind.__qualname__}", weights=weights)
        )


def reference_of(model: nn.Module, recipe: Recipe) -> str:
    """How to open a network again; what is wrapped but not saved is named by its base and its adapter."""
    reference = getattr(model, "greenadapt_reference", None)
    if reference is not None:
        return str(reference)
    return recipe.base.reference + (f" + {recipe.adapter}" if recipe.adapter is not None else "")


def default_name(model: nn.Module) -> str:
    """A short name for tables."""
    reference = getattr(model, "greenadapt_reference", None)
    if reference is not None:
        return str(reference).rstrip("/").rpartition("/")[2].rpartition(":")[2]
    recipe = recipe_or_class(model)
    return recipe.base.name + (f"-{recipe.adapter}" if recipe.adapter is not None else "")


def _shape(batch: Tensor) -> tuple[int, int, int]:
    channels, height, width = batch.shape[1:]
    return channels, height, width
