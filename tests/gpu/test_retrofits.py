"""Both retrofits on a real board: the logits of the CPU, one wait for the policy, graphs that are replayed.

Run on a machine with an NVIDIA board (``pytest tests/gpu``); skipped elsewhere.
"""

from __future__ import annotations

import copy
import dataclasses
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import greenadapt
from greenadapt.adapters.blockdrop.static import Router
from greenadapt.testing import awake

pytestmark = pytest.mark.gpu
_WAYS = ("auto", "grouped", "gathered", "masked")
_BATCH, _SIZE = 12, 96


class Told(nn.Module):
    """Answers with rows of a table, one for each image."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table)

    def forward(self, images: Tensor) -> Tensor:
        rows: Tensor = self.table[: len(images)]
        return rows


@pytest.fixture(autouse=True)
def _exact() -> Any:
    """No TF32, so that a board and a CPU agree to some digits."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def _thin(way: str = "auto", paths: int = _BATCH) -> Any:
    """ResNet-18 on the board, under a policy that sends the images of a batch on so many paths."""
    thin: Any = greenadapt.wrap(awake("resnet18").eval(), "blockdrop", keep=0.5)
    drawn = torch.rand(paths, thin.greenadapt_blocks, generator=torch.Generator().manual_seed(2)).round()
    thin.greenadapt_policy = Told(drawn[torch.arange(_BATCH) % paths])
    thin.greenadapt_config = dataclasses.replace(thin.greenadapt_config, execution=way)
    return thin.eval().cuda().to(memory_format=torch.channels_last)


def _images() -> Tensor:
    drawn = torch.randn(_BATCH, 3, _SIZE, _SIZE, generator=torch.Generator().manual_seed(1))
    return drawn.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("way", _WAYS)
def test_every_way_gives_the_logits_of_the_cpu(way):
    thin, images = _thin(way), _images()
    with torch.inference_mode():
        expected = copy.deepcopy(thin).cpu()(images)
        found = thin(images.cuda())
    assert torch.allclose(found.cpu(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("way", ["auto", "grouped", "gathered"])
def test_the_host_waits_for_the_policy_and_for_nothing_else(way):
    thin, images = _thin(way), _images().cuda()
    with torch.inference_mode():
        thin(images)  # costs are measured here
        torch.cuda.synchronize()
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                thin(images)
            finally:
                torch.cuda.set_sync_debug_mode("default")
    waits = [str(each.message) for each in seen if "synchroniz" in str(each.message)]
    assert len(waits) == 1, waits


def test_eight_threads_get_the_serial_logits():
    thin = _thin()
    batches = [_images().flip(0).roll(shift, 2).cuda() for shift in range(8)]

    def run(images: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = thin(images)
            return logits

    serial = [run(images) for images in batches]
    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(run, batches))
    torch.cuda.synchronize()
    for one, other in zip(serial, parallel, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_compiled_paths_are_replayed_with_the_models_logits():
    thin, images = _thin("grouped", paths=3), _images().cuda()
    allowed = torch.unique(thin.greenadapt_policy.table.bool(), dim=0)
    everything = torch.ones(1, thin.greenadapt_blocks, dtype=torch.bool, device="cuda")
    router = Router(thin, torch.cat([allowed, everything]), backend="inductor")
    with torch.inference_mode():
        expected = thin(images)
        for _ in range(3):
            assert torch.allclose(router(images), expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("precision", [torch.float32, torch.float16, torch.bfloat16])
def test_big_little_gives_the_logits_of_the_cpu(precision):
    thin = greenadapt.wrap(awake("resnet18").eval(), "biglittle").eval()
    images = _images()
    with torch.inference_mode():
        expected = thin(images)
        with torch.autocast("cuda", dtype=precision, enabled=precision != torch.float32):
            found = thin.cuda()(images.cuda())
    rough = 1e-3 if precision == torch.float32 else 5e-2
    assert torch.allclose(found.float().cpu(), expected, rtol=rough, atol=rough * float(expected.abs().max()))


@pytest.mark.slow
def test_big_little_compiles_into_one_graph():
    thin = greenadapt.wrap(awake("resnet18").eval(), "biglittle").eval().cuda()
    images = _images().cuda()
    with torch.inference_mode():
        expected = thin(images)
        compiled = torch.compile(thin, fullgraph=True, mode="reduce-overhead")
        for _ in range(3):
            assert torch.allclose(compiled(images), expected, rtol=1e-2, atol=1e-3)
