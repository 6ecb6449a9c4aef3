from __future__ import annotations

import os
import subprocess
import sys

import pytest

from greenadapt.boards.tenants import Tenants, computes_here

ME, OTHER, THIRD = os.getpid(), 4_000_000, 4_000_001


@pytest.mark.parametrize(
    ("computing", "contained", "listed", "others"),
    [
        (False, False, [], 0),
        (True, False, [], None),
        (True, True, [], None),
        (True, False, [ME], 0),
        (True, True, [ME, OTHER], 1),
        (True, False, [OTHER], 1),
        (False, True, [OTHER], 1),
        (True, True, [OTHER], 0),
        (True, True, [OTHER, THIRD], 1),
        (False, False, [OTHER, OTHER, THIRD], 2),
    ],
)
def test_others_are_told_from_ours(computing, contained, listed, others):
    assert Tenants(computing, contained).others(listed) == others


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_our_own_children_are_ours():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert Tenants(False, False).others([child.pid]) == 0
        assert Tenants(False, False).others([child.pid, os.getppid()]) == 1
    finally:
        child.communicate(b"\n", timeout=60)


def test_nothing_computes_here_without_cuda():
    import torch

    if torch.cuda.is_initialized():
        pytest.skip("CUDA runs here")
    assert not computes_here()
