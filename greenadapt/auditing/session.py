"""One audit from loading to profiles; the timeline is drawn in `greenadapt.auditing`.

Session
├── prepare    loads every rival, leaves out those that cannot run        loading.py
├── look       accuracy and counts, once per network and precision        accuracy.py
├── run        idle, warm-up, trials with whatever looks on, idle         trials.py, path_trials.py
└── profile    one rival's profile                          subjects.py, decisions.py, validity.py
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

from torch import nn

from greenadapt.auditing.accuracy import Key, Tally, accuracy_pass
from greenadapt.auditing.crosscheck import CrossCheck
from greenadapt.auditing.decisions import class_names
from greenadapt.auditing.instruments import Instrument, Step, sentence
from greenadapt.auditing.loading import Loaded, Loader, room_to_compile
from greenadapt.auditing.path_trials import Adaptive, seconds_left, time_networks
from greenadapt.auditing.settings import Rival, rivals
from greenadapt.auditing.subjects import remark_on, remark_on_path, subject_of
from greenadapt.auditing.trials import Arm, Progress, Run, planned_seconds, run_trials, trial_seconds, warm_up
from greenadapt.auditing.validity import judge
from greenadapt.auditing.workload import Workload
from greenadapt.boards import BoardReport, Watch, boards_of, is_simulated
from greenadapt.errors import DataError, MeasurementError, OptionError
from greenadapt.interfaces import AuditRequest
from greenadapt.machine import cores_of_others, describe_conditions, describe_machine, processor_time
from greenadapt.profile import (
    Agreement,
    Execution,
    Idle,
    Method,
    PathCost,
    Profile,
    Subject,
    Summary,
    Validity,
)
from greenadapt.statistics import summarize

_LOADED, _LOOKED, _WARMED, _TRIED, _TIMED = 0.1, 0.15, 0.25, 0.94, 0.97


class Session:
    """One interleaved run.

    Args:
        request: What to audit; its sweep is a checked one.
        instrument: What measures, on the device to audit on.

    Attributes:
        left_out: Why a combination of a sweep is not measured, by its name.

    Raises:
        DataError: The data cannot be audited on.
        OptionError: The sweep asks for too much.
    """

    def __init__(self, request: AuditRequest, instrument: Instrument) -> None:
        self._request, self._plan, self._instrument = request, request.plan, instrument
        engines = [name for name, model in request.models.items() if not isinstance(model, nn.Module)]
        self._rivals = rivals(request.models, request.plan, request.sweep, engines)
        most = max(rival.plan.batch_size for rival in self._rivals)
        self._workload = Workload(request.data, instrument.device, most, request.plan.seed)
        self.left_out: dict[str, str] = {}
        self._loaded: dict[str, Loaded] = {}
        self._tallies: dict[Key, Tally] = {}
        self._digest = ""
        self._run = Run({})
        self._idle = Idle(before_watts=None, after_watts=None)
        self._boards = [part.info.board for part in instrument.parts if part.info.board is not None]
        self._reports: list[BoardReport] = []
        self._agreement: Agreement | None = None
        self._others_cores: float | None = None
        self._troubles: list[str] = []
        self._costs: dict[str, dict[str, PathCost]] = {}
        self._subjects: dict[str, Subject] = {}
        self._resources = ExitStack()

    def __enter__(self) -> Session:
        """Makes room for the compiled rivals; see `room_to_compile`."""
        self._resources.enter_context(room_to_compile(any(rival.plan.compile for rival in self._rivals)))
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the room back."""
        self._resources.close()

    @property
    def names(self) -> list[str]:
        """The rivals that are measured, in order."""
        return list(self._loaded)

    def prepare(self) -> None:
        """Copies the networks to the device and makes sure that each runs on the images.

        Raises:
            DataError: Classes, channels or size do not fit.
            OptionError: A network does not run under the first combination of settings.
        """
        for name, model in self._request.models.items():
            self._workload.check_fits(model, name)
        loader = Loader(self._request.models, self._workload, self._instrument.device)
        tell = self._part(0.0, _LOADED)
        for number, rival in enumerate(self._rivals):
            tell(f"loading {rival.name}", number / len(self._rivals))
            try:
                self._loaded[rival.name] = loader.load(rival)
            except (DataError, OptionError) as error:
                if rival.is_base:
                    raise
                self.left_out[rival.name] = f"{error.happened} {error.seen}"
                tell(f"leaving out {rival.name}: {error.seen}", number / len(self._rivals))

    def look(self) -> None:
        """Runs each network over all images, once per precision.

        Raises:
            DataError: A label that a network has no class for.
        """
        of_each: dict[Key, list[Loaded]] = {}
        for loaded in self._loaded.values():
            of_each.setdefault(_key(loaded.rival), []).append(loaded)
        # The largest batch that every one of them is known to run.
        size = min(max(each.rival.plan.batch_size for each in several) for several in of_each.values())
        ones = {key: several[0] for key, several in of_each.items()}
        tell = self._part(_LOADED, _LOOKED)
        self._tallies, self._digest = accuracy_pass(ones, self._workload, size, tell)

    def run(self) -> None:
        """Idle, warm-up, trials, idle."""
        plan, instrument, tell = self._plan, self._instrument, self._part(_LOOKED, _WARMED)
        started = time.perf_counter()
        arms = [Arm(name, each.step, each.rival.plan.batch_size) for name, each in self._loaded.items()]
        tell("idle baseline", 0.0)
        before = instrument.idle_watts(plan.idle_seconds)
        for number, arm in enumerate(arms):
            tell(f"warming up {arm.name}", number / len(arms))
            warm_up(instrument, arm.step, plan)
        self._find_period(arms[0].step, tell)
        with self._looking_on() as watch:
            self._run = run_trials(
                instrument, arms, plan, self._part(_WARMED, _TRIED), running=watch.now_running
            )
        self._time_paths(time.perf_counter() - started)
        self._part(_TIMED, 1.0)("idle baseline", 0.0)
        self._idle = Idle(before_watts=before, after_watts=instrument.idle_watts(plan.idle_seconds))
        self._part(_TIMED, 1.0)("done", 1.0)

    def _time_paths(self, spent: float) -> None:
        """Short trials of single paths, as far as what was announced leaves time for them."""
        networks = {
            name: Adaptive(loaded, decisions, trial.seconds / trial.calls)
            for name, loaded in self._loaded.items()
            if (decisions := self._tallies[_key(loaded.rival)].decisions)
            for trial in self._run.trials[name][-1:]
        }
        left = seconds_left(self._plan, len(self._loaded), self._instrument, spent)
        self._costs = time_networks(
            self._instrument, self._workload, networks, left, self._part(_TRIED, _TIMED)
        )

    def _find_period(self, step: Step, tell: Progress) -> None:
        """Under load; where that fails, the period found on opening stands, and the profile says so."""
        try:
            self._instrument.find_period(step)
        except MeasurementError as error:
            self._troubles.append(f"The counter's period was not found under load. {sentence(error)}")
        period = self._instrument.slow_period_seconds
        length = trial_seconds(self._plan, period)
        if period is not None and length > self._plan.trial_seconds:
            least = planned_seconds(self._plan, len(self._loaded), period).least
            tell(
                f"the counter moves every {period * 1000:.3g} ms: trials of {length:.3g} s, {least:.0f} s at "
                "least in all",
                1.0,
            )

    @contextmanager
    def _looking_on(self) -> Iterator[Watch]:
        """Whatever looks on while the trials run; what it saw is kept for `_judged`."""
        busy = processor_time()
        with CrossCheck(self._boards) as check, Watch(self._boards) as watch:
            yield watch
        self._reports, self._agreement = watch.reports(), check.result()
        if self._instrument.device == "cpu":
            self._others_cores = cores_of_others(busy, processor_time())

    def profile(self, name: str, run_id: str, created: str) -> Profile:
        """The profile of one rival, without carbon and unsealed."""
        loaded = self._loaded[name]
        plan, tally = loaded.rival.plan, self._tallies[_key(loaded.rival)]
        subject = self._subject(loaded.rival, tally)
        summary = summarize(self._run.trials[name], self._idle, plan.batch_size)
        _, *shape = loaded.pool[0].shape
        device, kind = self._instrument.device, self._workload.kind
        fingerprint = self._workload.fingerprint(self._digest)
        execution = tally.execution(
            class_names=class_names(self._workload),
            costs=self._costs.get(name),
            network=self._request.models[loaded.rival.network],
        )
        return Profile(
            run_id=run_id,
            created=created,
            subject=subject,
            conditions=describe_conditions(
                plan, device, cast("tuple[int, int, int]", tuple(shape)), kind, boards=self._boards
            ),
            plan=plan,
            machine=describe_machine(),
            method=self._method(summary, name),
            trials=self._run.trials[name],
            stages=self._run.stages,
            idle=self._idle,
            quality=tally.quality(self._workload.name, fingerprint) if tally.hits else None,
            execution=execution,
            summary=summary,
            validity=self._judged(loaded, subject, execution),
        )

    def _judged(self, loaded: Loaded, subject: Subject, execution: Execution | None) -> Validity:
        name = loaded.rival.name
        found = judge(
            plan=loaded.rival.plan,
            trials=self._run.trials[name],
            info=self._instrument.info,
            failures=[*self._troubles, *self._run.failures.get(name, [])],
            others_cores=self._others_cores,
            weights=subject.weights,
            data=self._workload.kind,
            reports=self._reports,
            agreement=self._agreement,
            metered=self._boards,
            worked_on=self._worked_on(loaded),
            simulated=any(map(is_simulated, self._boards)),
        )
        remarks = [
            *self._remarks(loaded),
            remark_on(subject.recipe),
            # What a policy makes of noise tells nothing of what it is worth.
            remark_on_path(subject.recipe, execution if self._workload.kind == "real" else None),
        ]
        return found.model_copy(update={"reasons": [*found.reasons, *filter(None, remarks)]})

    def _worked_on(self, loaded: Loaded) -> list[str] | None:
        """UUIDs of the boards that a network of torch's ran on; None of an engine, which may run anywhere."""
        if not isinstance(self._request.models[loaded.rival.network], nn.Module):
            return None
        device = self._instrument.device
        return boards_of(device) if device.startswith("cuda") else []

    def _remarks(self, loaded: Loaded) -> Iterator[str]:
        """What a reader must know of this run beside what disturbed it."""
        if loaded.otherwise:
            yield (
                f"Compiled, it decides otherwise on {loaded.otherwise} of {len(loaded.pool[0])} images; its "
                "accuracy was counted uncompiled."
            )
        if loaded.rival.is_base:
            for rival in self._rivals:
                if rival.network == loaded.rival.network and rival.name in self.left_out:
                    yield f"{rival.name} was left out: {self.left_out[rival.name]}"

    def _subject(self, rival: Rival, tally: Tally) -> Subject:
        if rival.network not in self._subjects:
            self._subjects[rival.network] = subject_of(self._request.models[rival.network], rival.network)
        role = self._request.roles.get(rival.network)
        return self._subjects[rival.network].model_copy(
            update={
                "name": rival.name,
                "macs_per_image": tally.macs_per_image,
                "role": "rival" if role == "base" and not rival.is_base else role,
            }
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

    def _part(self, start: float, end: float) -> Progress:
        tell: Any = self._request.progress

        def report(message: str, share: float) -> None:
            if tell is not None:
                tell(message, start + (end - start) * share)

        return report


def _key(rival: Rival) -> Key:
    return rival.network, rival.plan.precision
