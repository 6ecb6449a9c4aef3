"""greenadapt: make the image classifier you already have spend fewer joules per inference, and prove it.

Four verbs: `wrap` (retrofit a model), `finetune` (win the accuracy back), `audit` (measure joules) and
`publish` (an efficiency profile). Names are loaded on first use, so that ``import greenadapt`` costs no
torch import. No submodule bears the name of a verb: importing it would put the module in the verb's place.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenadapt.auditing import audit as audit
    from greenadapt.auditing import measure as measure
    from greenadapt.auditing import window as window
    from greenadapt.comparison import compare as compare
    from greenadapt.data import open_data as open_data
    from greenadapt.errors import GreenadaptError as GreenadaptError
    from greenadapt.finetuning import finetune as finetune
    from greenadapt.hookspecs import hookimpl as hookimpl
    from greenadapt.models import describe as describe
    from greenadapt.models import load as load
    from greenadapt.models import open_model as open_model
    from greenadapt.models import recipe_of as recipe_of
    from greenadapt.models import save as save
    from greenadapt.models import wrap as wrap
    from greenadapt.profile import Plan as Plan
    from greenadapt.profile import Profile as Profile
    from greenadapt.publishing import publish as publish

__version__ = "0.1.0"

_HOMES = {
    "audit": "auditing",
    "measure": "auditing",
    "window": "auditing",
    "compare": "comparison",
    "open_data": "data",
    "GreenadaptError": "errors",
    "finetune": "finetuning",
    "hookimpl": "hookspecs",
    "describe": "models",
    "load": "models",
    "open_model": "models",
    "recipe_of": "models",
    "save": "models",
    "wrap": "models",
    "Plan": "profile",
    "Profile": "profile",
    "publish": "publishing",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604, RUF100


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'greenadapt' has no attribute {name!r}")
    return getattr(importlib.import_module(f"greenadapt.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
