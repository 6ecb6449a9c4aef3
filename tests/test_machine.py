from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import torch

from greenadapt import boards, machine
from greenadapt.errors import MeasurementError, OptionError
from greenadapt.profile import Plan
from tests.simulator import Simulator

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")


def test_the_machine_is_described():
    found = machine.describe_machine()
    assert found.torch == torch.__version__.split("+")[0] or found.torch == torch.__version__
    assert found.cores >= 1
    assert found.memory_bytes is None or found.memory_bytes > 1e8
    assert found.cpu
    assert found.codecarbon is not None


def test_conditions_say_what_the_numbers_depend_on():
    found = machine.describe_conditions(Plan(batch_size=7, device="cpu"), "cpu", (1, 28, 28), "random")
    assert (found.device, found.device_type) == (machine.cpu_name(), "cpu")
    assert (found.batch_size, found.input_shape, found.data) == (7, (1, 28, 28), "random")
    assert found.threads == torch.get_num_threads()
    assert found.power_limit_watts is None
    assert (found.tf32, found.max_sm_clock_mhz, found.application_sm_clock_mhz) == (None, None, None)


def test_boards_that_others_compute_on_are_the_conditions(simulator):
    boards_there = Simulator.start(boards=3).boards
    for board, name, limit in zip(
        boards_there, ["NVIDIA A", "NVIDIA A", "NVIDIA B"], [300, 300, 450], strict=True
    ):
        board.configure(name=name, power_limit_watts=limit, max_sm_mhz=1980 if name.endswith("A") else 1400)
    plan, shape = Plan(device="cpu"), (3, 8, 8)
    one = machine.describe_conditions(plan, "cpu", shape, "real", [boards_there[2].uuid])
    assert (one.device, one.device_type, one.power_limit_watts) == ("NVIDIA B", "cuda", 450.0)
    assert one.max_sm_clock_mhz == 1400.0
    assert one.driver
    every = machine.describe_conditions(plan, "cpu", shape, "real", [board.uuid for board in boards_there])
    assert (every.device, every.power_limit_watts) == ("2 x NVIDIA A + NVIDIA B", 1050.0)
    assert every.max_sm_clock_mhz is None
    with pytest.raises(MeasurementError, match="GPU-none"):
        machine.describe_conditions(plan, "cpu", shape, "real", ["GPU-none"])


def test_every_board_of_the_machine_is_described(simulator):
    there = Simulator.start(boards=2).boards
    there[1].configure(name="NVIDIA Other", ecc=False)
    found = machine.describe_machine().gpus
    assert [facts["name"] for facts in found] == [found[0]["name"], "NVIDIA Other"]
    assert [facts["ecc"] for facts in found] == [True, False]
    assert there[0].uuid not in str(found)
    assert boards.nvml_indices() == [0, 1]


_TF32 = {
    "pass": "convolutions",
    "torch.backends.cudnn.allow_tf32 = False": "off",
    "torch.set_float32_matmul_precision('high')": "both",
    "torch.backends.cuda.matmul.fp32_precision = 'tf32'": "both",
    "torch.backends.fp32_precision = 'ieee'": "off",
}
_EACH_BY_ITSELF = """
import os, sys, torch
from greenadapt.machine import tf32_setting
for setting in sys.argv[1:]:
    if os.fork() == 0:
        exec(setting)
        print(tf32_setting(), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_tf32_is_read_however_it_was_set():
    command = [sys.executable, "-c", _EACH_BY_ITSELF, *_TF32]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(_TF32.values())


@no_gpu
def test_auto_is_the_cpu_without_a_gpu():
    assert machine.resolve_device("auto") == "cpu"


@no_gpu
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7"])
def test_a_board_that_is_not_there_is_an_error(device):
    with pytest.raises(OptionError, match="torch sees 0 CUDA boards"):
        machine.resolve_device(device)


def test_hidden_boards_are_named_in_the_error(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-none")
    with pytest.raises(OptionError, match=r"CUDA_VISIBLE_DEVICES is 'GPU-none'"):
        machine.resolve_device("cuda:99")


def test_a_misspelt_device_is_an_error():
    with pytest.raises(OptionError, match="'gpu' is not a device"):
        machine.resolve_device("gpu")


@no_gpu
def test_without_a_driver_nothing_is_known_and_nothing_fails():
    assert boards.all_board_facts() == []
    assert boards.nvml_indices() == []
    with pytest.raises(MeasurementError, match="driver"), boards.nvml():
        pass


def test_a_cpu_has_no_board():
    with pytest.raises(MeasurementError, match="no NVIDIA board"):
        boards.board_uuid("cpu")


def test_a_module_that_hides_nvidias_is_named(tmp_path, monkeypatch):
    (tmp_path / "pynvml.py").write_text("def nvmlInit(): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "pynvml", raising=False)
    with pytest.raises(MeasurementError, match="pip uninstall pynvml"):
        boards.start_nvml()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs Linux")
def test_the_load_of_others_leaves_out_our_own():
    before = machine.processor_time()
    if before is None:
        pytest.skip("this system does not tell")
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    after = machine.processor_time()
    assert after is not None
    assert after.own - before.own > 0.1
    others = machine.cores_of_others(before, after)
    assert others is not None
    assert 0 <= others <= (os.cpu_count() or 1)
    assert machine.cores_of_others(before, None) is None


@pytest.mark.gpu
def test_a_board_is_found_by_its_uuid():
    device = machine.resolve_device("cuda")
    with boards.nvml() as library:
        handle = boards.open_board(library, device)
        assert boards.board_uuid(device) in str(library.nvmlDeviceGetUUID(handle))
        assert boards.board_facts(library, handle)["driver"]
