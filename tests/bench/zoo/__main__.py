"""``python -m tests.bench.zoo``: every architecture of timm's, file by file, and the page of what was seen.

    (nothing)            what is missing in the work folder, then docs/results/blockdrop-coverage.md
    --work FOLDER        where the rows go, one JSON a line; a sweep that is started again goes on there
    --only resnet,vgg    these of timm's files; no page is written
    --small-first        the smallest of every file, then the next smallest: a sweep that is cut short has
                         seen every file (the parameters of all are counted once, some minutes)
    --again              tries again what was not covered
    --draw               no sweep: the page again, from the rows that lie beside it

Each architecture has a process of its own, so that one which takes more memory than is allowed, or more time,
is stopped and reported, and the rest goes on. Exit code 0 where 95 % are covered.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import timm
import torch

from tests.bench.zoo.checking import Row, check
from tests.bench.zoo.page import WANTED, page

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "results" / "blockdrop-coverage.md"
_GIB = 2**30


def main(arguments: Sequence[str] | None = None) -> int:
    """Sweeps, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "bench-zoo")
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--only")
    parser.add_argument("--small-first", action="store_true")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--draw", action="store_true")
    parser.add_argument("--memory", type=float, default=18.0, help="GiB that one architecture may take")
    parser.add_argument("--patience", type=float, default=1800.0, help="CPU seconds that one may take")
    given = parser.parse_args(arguments)
    given.work.mkdir(parents=True, exist_ok=True)
    kept, published = given.work / "rows.jsonl", given.out.with_suffix(".jsonl")
    rows = read(published if given.draw else kept)
    names = [pair for pair in architectures() if not given.only or pair[1] in given.only.split(",")]
    if given.small_first and not given.draw:
        names = small_first(names, given.work / "parameters.json")
    for name, family in () if given.draw else names:
        if name in rows and not (given.again and rows[name].why_not is not None):
            continue
        row = rows[name] = apart(name, family, given.memory, given.patience)
        with kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")
        sys.stdout.write(f"{name}: {row.why_not or f'{row.droppable} of {row.blocks}, by {row.checked}'}\n")
        sys.stdout.flush()
    seen = [rows[name] for name, _ in sorted(names, key=lambda pair: (pair[1], pair[0])) if name in rows]
    covered = sum(row.why_not is None for row in seen)
    sys.stdout.write(f"{covered} of {len(seen)} are covered; {len(names) - len(seen)} were not tried.\n")
    if not given.only:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(page(seen), encoding="utf-8")
        published.write_text("".join(json.dumps(asdict(row)) + "\n" for row in seen), encoding="utf-8")
    return 0 if covered >= WANTED * len(names) else 1


def architectures() -> list[tuple[str, str]]:
    """Name and file of everything that timm itself registers, file by file."""
    found = []
    for name in timm.list_models():
        module = timm.model_entrypoint(name).__module__
        if module.startswith("timm."):
            found.append((name, module.rpartition(".")[2]))
    return sorted(found, key=lambda pair: (pair[1], pair[0]))


def small_first(names: Sequence[tuple[str, str]], counted: Path) -> list[tuple[str, str]]:
    """The smallest of every file, then the next smallest of every file, and so on.

    Args:
        names: Name and file of each architecture.
        counted: Where their parameters are kept once they were counted, JSON by name.
    """
    known: dict[str, int] = json.loads(counted.read_text(encoding="utf-8")) if counted.is_file() else {}
    for name, _ in names:
        if name not in known:
            with torch.device("meta"):
                known[name] = sum(p.numel() for p in timm.create_model(name).parameters())
    counted.write_text(json.dumps(known), encoding="utf-8")
    waves: dict[str, int] = {}
    ranked = []
    for name, family in sorted(names, key=lambda pair: known[pair[0]]):
        waves[family] = waves.get(family, -1) + 1
        ranked.append((waves[family], known[name], name, family))
    return [(name, family) for *_, name, family in sorted(ranked)]


def read(path: Path) -> dict[str, Row]:
    """The rows of a work folder, the last of each architecture."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {row.name: row for row in (Row(**json.loads(line)) for line in lines)}


def apart(name: str, family: str, memory: float, patience: float) -> Row:
    """Checks one architecture in a process of its own.

    Args:
        name: timm's.
        family: timm's file that it is in.
        memory: GiB of resident memory that it may take.
        patience: CPU seconds that it may take.
    """
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe(duplex=False)
    worker: Any = context.Process(target=_work, args=(theirs, name, family, patience))
    worker.start()
    theirs.close()
    most = 0
    while worker.is_alive() and not mine.poll(0.2):
        most = max(most, _resident(worker.pid))
        if most > memory * _GIB:
            worker.kill()
            worker.join()
            return Row(name, family, why_not=f"took more than {memory:g} GiB of memory")
    try:
        row: Row = mine.recv()
    except EOFError:
        row = Row(name, family, why_not="took too long" if worker.exitcode else "its process ended")
    worker.join()
    return row


def _work(pipe: Any, name: str, family: str, patience: float) -> None:
    torch.set_num_threads(1)
    spent = int(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (spent + int(patience), spent + int(patience) + 10))
    try:
        row = check(name, family)
    except Exception as error:
        # Whatever it is, it is the row of this architecture, and the sweep goes on.
        said = (str(error).splitlines() or [""])[0].replace("|", "/")
        row = Row(name, family, why_not=f"{type(error).__name__}: {said[:120]}")
    pipe.send(row)
    pipe.close()


def _resident(pid: int) -> int:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
