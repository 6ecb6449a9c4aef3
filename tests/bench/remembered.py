"""A teacher that answers each batch once: arms that see the same batches share its logits.

    images ── SHA-1 ──┬── seen before: the logits from the file
                      └── else: the network's, which are put there

Orders and augmentations are drawn from (seed, epoch), so that every arm of an experiment asks the same of its
teacher, epoch after epoch; asking takes a third of the time of a training.
"""

from __future__ import annotations

import copy
import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from greenadapt.storage import weights_sha256


def remembered(teacher: nn.Module, file: Path) -> nn.Module:
    """A copy of a teacher, with the same weights, that looks into a file before it computes.

    Args:
        teacher: Gives logits [B, classes] for images [B, C, H, W].
        file: A database, made if it is missing; several trainings may use it at the same time.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    store = _Store(file, weights_sha256(teacher.state_dict()))
    twin: Any = copy.deepcopy(teacher)
    compute = twin.forward

    def forward(images: Tensor) -> Tensor:
        # What is computed in another precision is another answer.
        key = store.key(images, torch.is_autocast_enabled(images.device.type))
        known = store.get(key)
        if known is None:
            known = compute(images).float()
            store.put(key, known)
        return known.to(images.device)

    twin.forward = forward
    return twin  # type: ignore[no-any-return]


class _Store:
    """Logits by what was asked.

    Args:
        file: Of the database.
        network: Tells the network from others.
    """

    def __init__(self, file: Path, network: str) -> None:
        self.network = network
        self.database = sqlite3.connect(file, isolation_level=None, timeout=60.0)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("PRAGMA synchronous=OFF")
        self.database.execute("CREATE TABLE IF NOT EXISTS answers (asked BLOB PRIMARY KEY, logits BLOB)")

    def key(self, images: Tensor, lowered: bool) -> bytes:
        """What tells a batch, [B, C, H, W], of this network in this precision from all others."""
        digest = hashlib.sha1(f"{self.network} {tuple(images.shape)} {lowered}".encode())
        digest.update(images.detach().cpu().contiguous().numpy().data)
        return digest.digest()

    def get(self, key: bytes) -> Tensor | None:
        """Logits [B, classes], or None."""
        row = self.database.execute("SELECT logits FROM answers WHERE asked = ?", (key,)).fetchone()
        if row is None:
            return None
        rows, columns = np.frombuffer(row[0], np.int32, 2)
        return torch.from_numpy(np.frombuffer(row[0], np.float32, offset=8).reshape(rows, columns).copy())

    def put(self, key: bytes, logits: Tensor) -> None:
        """Keeps logits [B, classes]."""
        held = logits.detach().cpu().numpy()
        self.database.execute(
            "INSERT OR IGNORE INTO answers VALUES (?, ?)",
            (key, np.array(held.shape, np.int32).tobytes() + held.tobytes()),
        )
