"""The processor's counters as Linux shows them: a tree of real files, and what moves them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from greenadapt.meters.powercap import find_domains

SPAN = 262_143_328_850


def domain(tree: Path, folder: str, name: str, microjoules: int, span: int | None = SPAN) -> Path:
    path = tree / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    if span is not None:
        (path / "max_energy_range_uj").write_text(f"{span}\n")
    return path


def count(folder: Path, microjoules: int) -> None:
    """Lets a counter stand somewhere; at no moment is the file empty."""
    fresh = folder / "fresh"
    fresh.write_text(f"{microjoules}\n")
    fresh.replace(folder / "energy_uj")


def limit(folder: Path, watts: float) -> None:
    (folder / "constraint_0_power_limit_uw").write_text(f"{int(watts * 1e6)}\n")


def names(tree: Path) -> list[str]:
    return [found.name for found in find_domains(tree)]


class Clock:
    """A clock that stands until it is told otherwise."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@contextmanager
def moving(*folders: Path) -> Iterator[None]:
    """Lets counters rise while the block runs."""
    ended = threading.Event()

    def move() -> None:
        while not ended.wait(0.002):
            for folder in folders:
                count(folder, int((folder / "energy_uj").read_text()) + 1000)

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
