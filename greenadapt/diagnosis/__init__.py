"""What can be measured here and how to get what cannot: the findings behind ``greenadapt doctor``.

    diagnose() ─┬─ boards.py       each NVIDIA board: its counter, what disturbs it, how it is set
                ├─ cuda.py         which boards CUDA may see, and whether torch can use them
                ├─ processor.py    the processor's counters, and the commands that open them
                ├─ packages.py     CodeCarbon's state, extras, packages that hide NVIDIA's module
                └─ audits.py       which meters work, and what an audit would say about energy

All at once, each in a thread of its own with a limit of its own (`patience.py`): a driver that never
answers costs seconds, and is a finding too. Nothing here changes anything on the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from greenadapt.diagnosis.audits import Energy, MeterFinding, plugin_problems, what_audits_say
from greenadapt.diagnosis.boards import BoardFinding, Boards, look_at_boards
from greenadapt.diagnosis.cuda import CudaFinding, look_at_cuda
from greenadapt.diagnosis.packages import (
    CodeCarbonFinding,
    Here,
    extras,
    look_around,
    look_at_codecarbon,
    shadowing,
)
from greenadapt.diagnosis.patience import all_within
from greenadapt.diagnosis.processor import ProcessorFinding, look_at_processor
from greenadapt.meters.powercap import POWERCAP

__all__ = [
    "BoardFinding",
    "Boards",
    "CodeCarbonFinding",
    "CudaFinding",
    "Diagnosis",
    "Energy",
    "Here",
    "MeterFinding",
    "ProcessorFinding",
    "diagnose",
]
_PATIENCE_SECONDS = 12.0


@dataclass(frozen=True)
class Diagnosis:
    """All findings; a part that got no answer in time is None, and named in `unanswered`.

    Attributes:
        here: The machine and the versions.
        boards: NVIDIA boards.
        cuda: What CUDA sees.
        processor: The processor's counters.
        codecarbon: CodeCarbon's state.
        extras: Whether each extra is installed.
        energy: What an audit would say, and which meters work.
        problems: Whatever else is wrong, in three lines each.
        unanswered: Parts that got no answer.
    """

    here: Here
    boards: Boards | None
    cuda: CudaFinding | None
    processor: ProcessorFinding | None
    codecarbon: CodeCarbonFinding | None
    extras: dict[str, bool]
    energy: Energy | None
    problems: list[str]
    unanswered: list[str]


def diagnose(powercap: Path = POWERCAP, patience_seconds: float = _PATIENCE_SECONDS) -> Diagnosis:
    """Looks at everything once; takes some seconds, most of them for importing torch and for the counters.

    Args:
        powercap: Where Linux shows the processor's counters.
        patience_seconds: How long each part may take.
    """
    # Before the threads, which would else meet a torch that another of them is still importing.
    import torch  # noqa: F401

    found, unanswered = all_within(
        patience_seconds,
        {
            "boards": look_at_boards,
            "cuda": look_at_cuda,
            "processor": lambda: look_at_processor(powercap),
            "codecarbon": look_at_codecarbon,
            "energy": what_audits_say,
            "extras": extras,
            "shadowing": shadowing,
            "plugins": plugin_problems,
        },
    )
    return Diagnosis(
        here=look_around(),
        boards=found.get("boards"),
        cuda=found.get("cuda"),
        processor=found.get("processor"),
        codecarbon=found.get("codecarbon"),
        extras=found.get("extras", {}),
        energy=found.get("energy"),
        problems=[*found.get("shadowing", []), *found.get("plugins", [])],
        unanswered=unanswered,
    )
