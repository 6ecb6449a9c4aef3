"""Names of boards; the forms of CUDA_VISIBLE_DEVICES themselves are in tests/bench/forms.py."""

from __future__ import annotations

import pytest

from greenadapt import boards
from greenadapt.boards import cuda
from greenadapt.errors import MeasurementError
from tests.simulator import Simulator


@pytest.fixture
def machine(simulator: Simulator, monkeypatch) -> Simulator:
    """Three boards, and no variable of CUDA's."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    return Simulator.start(boards=3)


@pytest.fixture
def torch_says(monkeypatch):
    """Makes torch's CUDA work as far as names go: boards without prefix, in CUDA's order."""

    def say(uuids: list[str], started: bool = False) -> None:
        monkeypatch.setattr(cuda, "uuids", lambda: [uuid.removeprefix("GPU-") for uuid in uuids])
        monkeypatch.setattr(cuda, "initialised", lambda: started)

    return say


def uuids(machine: Simulator) -> list[str]:
    return [board.uuid for board in machine.boards]


def test_torch_knows_the_order_that_the_environment_leaves_open(machine, torch_says):
    slow, fast, other = uuids(machine)
    torch_says([fast, slow, other])
    assert boards.boards_of("cuda:0") == [fast]
    assert boards.boards_of("cuda") == [fast, slow, other]


def test_torch_that_contradicts_the_environment_is_an_error(machine, torch_says, monkeypatch):
    first, second, _ = uuids(machine)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", first)
    torch_says([second])
    with pytest.raises(MeasurementError, match=f"they are {first}; torch says {second}"):
        boards.boards_of("cuda:0")
    torch_says([first, second])
    with pytest.raises(MeasurementError, match="not clear which boards"):
        boards.boards_of("cuda:0")


def test_a_cuda_that_runs_already_has_read_the_environment_before(machine, torch_says, monkeypatch):
    first, second, _ = uuids(machine)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", first)
    torch_says([second], started=True)
    assert boards.boards_of("cuda:0") == [second]
    with pytest.raises(MeasurementError, match="sees 1 board:"):
        boards.boards_of("cuda:1")


def test_the_environment_is_read_at_each_call(machine, monkeypatch):
    for uuid in uuids(machine):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", uuid)
        assert boards.boards_of("cuda:0") == [uuid]


@pytest.mark.parametrize("driver", ["the slice's UUID", "the board's UUID"])
def test_a_slice_that_torch_runs_on_is_refused_with_the_way_out(machine, torch_says, driver):
    board = machine.board(1)
    board.mig(True)
    torch_says([board.mig_uuid(0).removeprefix("MIG-") if driver.startswith("the slice") else board.uuid])
    with pytest.raises(MeasurementError, match=rf"MIG slice(.|\n)*--meter nvml:{board.uuid}"):
        boards.boards_of("cuda:0")


def test_a_uuid_of_torchs_that_nvml_does_not_know_is_an_error(machine, torch_says):
    torch_says(["GPU-00000000-0000-0000-0000-000000000000"])
    with pytest.raises(MeasurementError, match="NVML does not know the UUID"):
        boards.boards_of("cuda:0")


def test_the_bus_decides_whatever_order_nvml_lists_boards_in(machine, monkeypatch):
    first, second, third = machine.boards
    first.configure(bus="00000000:81:00.0")
    second.configure(bus="00000000:02:00.0")
    third.configure(bus="00000000:41:00.0")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert boards.boards_of("cuda") == [second.uuid, third.uuid, first.uuid]
    assert boards.boards_of("cuda:2") == [first.uuid]
    assert boards.boards_of("0") == [first.uuid]


def test_one_board_needs_no_order(simulator, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    uuid = simulator.board(0).uuid
    assert boards.boards_of("cuda:0") == boards.boards_of("cuda") == [uuid]
    assert boards.board_uuid("cuda:0") == uuid.removeprefix("GPU-")


def test_numbers_for_libraries_that_want_numbers(machine, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", machine.board(2).uuid)
    assert boards.nvml_index("cuda:0") == 2
    assert boards.nvml_indices() == [0, 1, 2]
    assert boards.nvml_indices([machine.board(2).uuid, machine.board(1).uuid]) == [2, 1]
    with pytest.raises(MeasurementError, match="Not Found"):
        boards.nvml_indices(["GPU-none"])


def test_one_handle_for_one_board(machine):
    with boards.nvml() as library:
        handle = boards.open_board(library, "2")
        assert library.nvmlDeviceGetUUID(handle) == machine.board(2).uuid
        with pytest.raises(MeasurementError, match="is not one board"):
            boards.open_board(library, "all")
        with pytest.raises(MeasurementError, match="which board GPU-none is"):
            boards.open_uuid(library, "GPU-none")


def test_the_parent_of_slices_is_labelled(machine):
    machine.board(1).mig(True)
    assert boards.mig_note(machine.board(0).uuid) == ""
    assert boards.mig_note(machine.board(1).uuid) == boards.MIG_NOTE
    assert boards.boards_of("1") == [machine.board(1).uuid]


def test_a_driver_without_mig_has_whole_boards(machine):
    machine.fail("nvmlDeviceGetMigMode", "FUNCTION_NOT_FOUND")
    assert boards.boards_of("all") == uuids(machine)
    machine.heal()
    machine.fail("nvmlDeviceGetMigMode", "UNKNOWN")
    with pytest.raises(MeasurementError, match="cannot be said whether"):
        boards.boards_of("all")


def test_a_machine_without_boards(simulator):
    Simulator.start(boards=0)
    for name in ("all", "0", "cuda:0", "cuda"):
        with pytest.raises(MeasurementError):
            boards.boards_of(name)


def test_without_a_driver_the_error_is_nvmls(simulator):
    simulator.stop()
    with pytest.raises(MeasurementError, match="driver"):
        boards.boards_of("0")
    with pytest.raises(MeasurementError, match="driver"):
        boards.boards_of("cuda:0")


@pytest.mark.gpu
def test_torch_and_the_environment_agree_on_a_real_machine():
    found = boards.boards_of("cuda:0")
    with boards.nvml() as library:
        assert library.nvmlDeviceGetUUID(boards.open_uuid(library, found[0])) == found[0]


@pytest.mark.parametrize("name", ["GPU-zzz", "GPU-00ff", "7", "foo"])
def test_a_name_of_no_board_lists_those_there_by_short_uuids(machine, name):
    with pytest.raises(MeasurementError) as error:
        boards.boards_of(name)
    for number, uuid in enumerate(uuids(machine)):
        assert f"{number} = {uuid[:12]}" in error.value.seen


def test_a_processor_is_told_without_asking_nvml(machine):
    with pytest.raises(MeasurementError, match="It names none"):
        boards.boards_of("cpu")
