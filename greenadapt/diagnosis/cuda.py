"""Which boards CUDA may see, and whether torch can use them."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field

from greenadapt.boards import boards_of
from greenadapt.boards.visible import ORDER, VARIABLE
from greenadapt.errors import MeasurementError


@dataclass(frozen=True)
class CudaFinding:
    """CUDA's view.

    Attributes:
        visible_devices: ``CUDA_VISIBLE_DEVICES``; None if it is not set.
        device_order: ``CUDA_DEVICE_ORDER``; None if it is not set.
        boards: UUIDs of the boards that CUDA may see.
        why_not: Why these are not known.
        torch: Version of torch.
        built_for: The CUDA that torch is built for; None for a torch without CUDA.
        usable: How many boards torch can use.
        torch_says: Why it can use none, as torch says it.
    """

    visible_devices: str | None = None
    device_order: str | None = None
    boards: list[str] = field(default_factory=list)
    why_not: str | None = None
    torch: str = ""
    built_for: str | None = None
    usable: int = 0
    torch_says: str | None = None


def look_at_cuda() -> CudaFinding:
    """Asks torch and the environment."""
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        usable = torch.cuda.device_count() if torch.cuda.is_available() else 0
    try:
        boards, why_not = boards_of("cuda"), None
    except MeasurementError as error:
        boards, why_not = [], f"{error.seen} {error.todo}".strip()
    said = [str(each.message).splitlines()[0] for each in caught]
    return CudaFinding(
        visible_devices=os.environ.get(VARIABLE),
        device_order=os.environ.get(ORDER),
        boards=boards,
        why_not=why_not,
        torch=str(torch.__version__),
        built_for=torch.version.cuda,
        usable=usable,
        torch_says=said[0] if said and not usable else None,
    )
