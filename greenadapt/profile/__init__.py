"""The efficiency profile: what was measured, on what, how, and what follows from it.

    Profile
    ├── subject      which network: reference, recipe, weights, parameters, MACs        circumstances.py
    ├── conditions   what the number depends on: device, batch, precision, versions    circumstances.py
    ├── machine      where it ran                                                       circumstances.py
    ├── plan         what was asked of the audit                                        plan.py
    ├── method       which instrument, what it covers, "measured" or "estimated"       readings.py
    ├── trials       the raw readings, all of them, the discarded block included       readings.py
    ├── stages       how many blocks the pilot asked for, and why                       readings.py
    ├── idle         power of the idle machine before and after                         readings.py
    ├── quality      which test images were classified correctly                        images.py
    ├── execution    what the adapter did: blocks kept, paths taken, easy and hard      decisions.py
    ├── validity     valid, suspect or invalid, with reasons and what was seen          verdict.py
    ├── summary      derived from the trials; `greenadapt check` computes it again      readings.py
    └── carbon       likewise                                                           grams.py

Unknown is None, never zero. Energy is in joules, mass in grams, time in seconds.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import Field

from greenadapt.profile.circumstances import Conditions, Machine, Subject
from greenadapt.profile.decisions import (
    ClassDecisions,
    DecisionRecord,
    Execution,
    PathCost,
    PathTrial,
    SeenImage,
    TakenPath,
)
from greenadapt.profile.grams import Carbon, Embodied
from greenadapt.profile.images import Quality
from greenadapt.profile.plan import Kind, Part, Plan, Precision
from greenadapt.profile.readings import Idle, Interval, Method, Stages, Summary, Trial
from greenadapt.profile.verdict import Agreement, BoardFacts, Validity

SCHEMA_VERSION = "1.3"
__all__ = [
    "SCHEMA_VERSION",
    "Agreement",
    "BoardFacts",
    "Carbon",
    "ClassDecisions",
    "Conditions",
    "DecisionRecord",
    "Embodied",
    "Execution",
    "Idle",
    "Interval",
    "Kind",
    "Machine",
    "Method",
    "PathCost",
    "PathTrial",
    "Plan",
    "Precision",
    "Profile",
    "Quality",
    "SeenImage",
    "Stages",
    "Subject",
    "Summary",
    "TakenPath",
    "Trial",
    "Validity",
]


class Profile(Part):
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
    stages: Stages | None = None
    """None in schema 1.0, which had one stage."""
    idle: Idle
    quality: Quality | None = None
    execution: Execution | None = None
    summary: Summary
    carbon: list[Carbon] = Field(default_factory=list)
    validity: Validity

    def body_sha256(self) -> str:
        """SHA-256 of the canonical JSON of everything but `profile_id`.

        Of a profile of an older schema it is that of the fields in its file: what the schema has gained
        since does not change its identity.
        """
        body = self.model_dump(mode="json", exclude={"profile_id"}, exclude_unset=self._is_older)
        canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def sealed(self) -> Profile:
        """The same profile with `profile_id` filled in."""
        return self.model_copy(update={"profile_id": self.body_sha256()})

    def to_json(self) -> str:
        """The profile as indented JSON text, ending in a newline; an older one without newer fields."""
        return self.model_dump_json(indent=2, exclude_unset=self._is_older) + "\n"

    @property
    def _is_older(self) -> bool:
        return self.schema_version != SCHEMA_VERSION
