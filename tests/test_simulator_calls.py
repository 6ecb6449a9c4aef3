"""What real pynvml reads from the simulated library, call by call."""

from __future__ import annotations

from typing import Any

import pynvml
import pytest

from tests.simulator import Simulator, SimulatorError


@pytest.fixture
def board(simulator: Simulator) -> Any:
    simulator.virtual(True)
    return simulator.board(0)


@pytest.fixture
def nvml(board: Any) -> Any:
    pynvml.nvmlInit()
    return pynvml.nvmlDeviceGetHandleByIndex(0)


def test_nothing_is_answered_before_init(board: Any) -> None:
    while True:
        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError_Uninitialized:
            break
    with pytest.raises(pynvml.NVMLError_Uninitialized):
        pynvml.nvmlDeviceGetCount()


def test_versions_and_error_texts(nvml: Any) -> None:
    assert pynvml.nvmlSystemGetDriverVersion() == "580.65.06"
    assert pynvml.nvmlSystemGetNVMLVersion().startswith("13.")
    assert pynvml.nvmlSystemGetCudaDriverVersion() == 13000
    assert pynvml.nvmlErrorString(pynvml.NVML_ERROR_GPU_IS_LOST) == "GPU is lost"


def test_a_board_is_found_by_number_uuid_and_bus_but_not_by_prefix(board: Any, nvml: Any) -> None:
    uuid = pynvml.nvmlDeviceGetUUID(nvml)
    bus = pynvml.nvmlDeviceGetPciInfo(nvml).busId
    assert uuid == board.uuid
    for found in (pynvml.nvmlDeviceGetHandleByUUID(uuid), pynvml.nvmlDeviceGetHandleByPciBusId(bus)):
        assert pynvml.nvmlDeviceGetIndex(found) == 0
    for wrong in (uuid[:12], uuid.removeprefix("GPU-"), ""):
        with pytest.raises(pynvml.NVMLError_NotFound):
            pynvml.nvmlDeviceGetHandleByUUID(wrong)
    with pytest.raises(pynvml.NVMLError_InvalidArgument):
        pynvml.nvmlDeviceGetHandleByIndex(1)
    board.configure(uuid="GPU-1a2b3c4d-0000-0000-0000-000000000000")
    assert pynvml.nvmlDeviceGetHandleByUUID("GPU-1a2b3c4d-0000-0000-0000-000000000000")


def test_a_handle_of_nothing_is_refused(nvml: Any) -> None:
    with pytest.raises(pynvml.NVMLError_InvalidArgument):
        pynvml.nvmlDeviceGetName(pynvml.c_nvmlDevice_t())


def test_what_stays_the_same(board: Any, nvml: Any) -> None:
    board.configure(name="NVIDIA A100", architecture=7, ecc=0, persistence=0, compute_mode=3, vbios="92.0")
    assert pynvml.nvmlDeviceGetName(nvml) == "NVIDIA A100"
    assert pynvml.nvmlDeviceGetArchitecture(nvml) == pynvml.NVML_DEVICE_ARCH_AMPERE
    assert pynvml.nvmlDeviceGetCudaComputeCapability(nvml) == (8, 0)
    assert pynvml.nvmlDeviceGetEccMode(nvml) == [0, 0]
    assert pynvml.nvmlDeviceGetPersistenceMode(nvml) == 0
    assert pynvml.nvmlDeviceGetComputeMode(nvml) == pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS
    assert pynvml.nvmlDeviceGetVbiosVersion(nvml) == "92.0"
    assert pynvml.nvmlDeviceGetSerial(nvml)
    assert pynvml.nvmlDeviceGetMinorNumber(nvml) == 0


def test_memory_in_both_layouts_and_utilization(board: Any, nvml: Any) -> None:
    board.configure(memory_bytes=1000, memory_used_bytes=300, utilization=70, memory_utilization=20)
    old = pynvml.nvmlDeviceGetMemoryInfo(nvml)
    new = pynvml.nvmlDeviceGetMemoryInfo(nvml, version=pynvml.nvmlMemory_v2)
    assert (old.total, old.free, old.used) == (new.total, new.free, new.used) == (1000, 700, 300)
    rates = pynvml.nvmlDeviceGetUtilizationRates(nvml)
    assert (rates.gpu, rates.memory) == (70, 20)


def test_limits(board: Any, nvml: Any) -> None:
    board.power_limit(250, management=300)
    assert pynvml.nvmlDeviceGetEnforcedPowerLimit(nvml) == 250_000
    assert pynvml.nvmlDeviceGetPowerManagementLimit(nvml) == 300_000
    assert pynvml.nvmlDeviceGetPowerManagementDefaultLimit(nvml) == 700_000
    assert pynvml.nvmlDeviceGetPowerManagementLimitConstraints(nvml) == [200_000, 700_000]


def test_clocks_drift(simulator: Simulator, board: Any, nvml: Any) -> None:
    board.clock(1500, memory_mhz=2000)
    board.clock_drift(-0.01)
    simulator.advance(10)
    assert pynvml.nvmlDeviceGetClockInfo(nvml, pynvml.NVML_CLOCK_SM) == 1350
    assert pynvml.nvmlDeviceGetClock(nvml, pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_ID_CURRENT) == 1350
    assert pynvml.nvmlDeviceGetClockInfo(nvml, pynvml.NVML_CLOCK_MEM) == 2000
    assert pynvml.nvmlDeviceGetMaxClockInfo(nvml, pynvml.NVML_CLOCK_SM) == 1980


def test_temperature_drifts(simulator: Simulator, board: Any, nvml: Any) -> None:
    board.temperature(50, per_second=0.5)
    simulator.advance(9)
    assert pynvml.nvmlDeviceGetTemperature(nvml, pynvml.NVML_TEMPERATURE_GPU) == 54
    assert pynvml.nvmlDeviceGetTemperatureV(nvml, pynvml.NVML_TEMPERATURE_GPU) == 54


def test_throttling_by_counter_and_by_reason(board: Any, nvml: Any) -> None:
    policies = {
        "power": pynvml.NVML_PERF_POLICY_POWER,
        "thermal": pynvml.NVML_PERF_POLICY_THERMAL,
        "sync": pynvml.NVML_PERF_POLICY_SYNC_BOOST,
        "board": pynvml.NVML_PERF_POLICY_BOARD_LIMIT,
        "reliability": pynvml.NVML_PERF_POLICY_RELIABILITY,
    }
    for number, name in enumerate(policies, 1):
        board.throttle(name, number)
        board.throttle(name, 0.5)
    found = {
        name: pynvml.nvmlDeviceGetViolationStatus(nvml, policy).violationTime
        for name, policy in policies.items()
    }
    assert found == {name: number * 10**9 + 5 * 10**8 for number, name in enumerate(policies, 1)}
    board.reasons(pynvml.nvmlClocksEventReasonHwThermalSlowdown | pynvml.nvmlClocksEventReasonSwPowerCap)
    assert pynvml.nvmlDeviceGetCurrentClocksEventReasons(nvml) == 0x44
    assert pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(nvml) == 0x44


def test_processes(board: Any, nvml: Any) -> None:
    assert pynvml.nvmlDeviceGetComputeRunningProcesses(nvml) == []
    board.processes([11, 12], graphics=[13], memory_bytes=4096)
    compute = pynvml.nvmlDeviceGetComputeRunningProcesses(nvml)
    assert [(process.pid, process.usedGpuMemory) for process in compute] == [(11, 4096), (12, 4096)]
    assert [process.pid for process in pynvml.nvmlDeviceGetGraphicsRunningProcesses(nvml)] == [13]
    board.processes()
    assert pynvml.nvmlDeviceGetComputeRunningProcesses(nvml) == []


def test_boards_older_than_volta_have_power_and_no_counter(board: Any, nvml: Any) -> None:
    board.configure(architecture=pynvml.NVML_DEVICE_ARCH_PASCAL)
    with pytest.raises(pynvml.NVMLError_NotSupported):
        pynvml.nvmlDeviceGetTotalEnergyConsumption(nvml)
    assert pynvml.nvmlDeviceGetPowerUsage(nvml) == 60_000


def test_fields_each_with_its_own_return_code(simulator: Simulator, board: Any, nvml: Any) -> None:
    board.configure(duty_seconds=0.025, phase=0.0)
    simulator.advance(5)
    board.power(160)
    simulator.advance(0.5)
    wanted = [
        pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION,
        pynvml.NVML_FI_DEV_POWER_AVERAGE,
        pynvml.NVML_FI_DEV_POWER_INSTANT,
        (pynvml.NVML_FI_DEV_POWER_INSTANT, pynvml.NVML_POWER_SCOPE_MEMORY),
        9999,
    ]
    energy, average, instant, memory, unknown = pynvml.nvmlDeviceGetFieldValues(nvml, wanted)
    assert energy.value.ullVal == pynvml.nvmlDeviceGetTotalEnergyConsumption(nvml)
    assert energy.valueType == pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
    assert 95_000 < average.value.uiVal < 115_000
    assert instant.value.uiVal == 160_000
    assert memory.nvmlReturn == unknown.nvmlReturn == pynvml.NVML_ERROR_NOT_SUPPORTED
    board.configure(architecture=pynvml.NVML_DEVICE_ARCH_PASCAL)
    assert [value.nvmlReturn for value in pynvml.nvmlDeviceGetFieldValues(nvml, wanted[:3])] == [3, 3, 3]


def test_samples_of_power_are_those_since_the_last(simulator: Simulator, board: Any, nvml: Any) -> None:
    board.power(100)
    simulator.advance(2)
    board.power(200)
    simulator.advance(1)
    kind, samples = pynvml.nvmlDeviceGetSamples(nvml, pynvml.NVML_TOTAL_POWER_SAMPLES, 0)
    assert kind == pynvml.NVML_VALUE_TYPE_UNSIGNED_INT
    watts = [sample.sampleValue.uiVal / 1000 for sample in samples]
    assert watts[2:18] == [100.0] * 16
    assert watts[-8:] == [200.0] * 8
    last = samples[-1].timeStamp
    simulator.advance(0.5)
    _, newer = pynvml.nvmlDeviceGetSamples(nvml, pynvml.NVML_TOTAL_POWER_SAMPLES, last)
    assert len(newer) == 5


def test_mig_instances_have_names_of_their_own_and_no_counter(board: Any, nvml: Any) -> None:
    assert pynvml.nvmlDeviceGetMigMode(nvml) == [0, 0]
    with pytest.raises(pynvml.NVMLError_NotFound):
        pynvml.nvmlDeviceGetMigDeviceHandleByIndex(nvml, 0)
    board.mig(True, instances=2)
    assert pynvml.nvmlDeviceGetMigMode(nvml) == [1, 1]
    slices = []
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(nvml)):
        try:
            slices.append(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(nvml, index))
        except pynvml.NVMLError_NotFound:
            continue
    uuids = [pynvml.nvmlDeviceGetUUID(each) for each in slices]
    assert uuids == [board.mig_uuid(0), board.mig_uuid(1)]
    assert all(uuid.startswith("MIG-") for uuid in uuids)
    assert pynvml.nvmlDeviceGetIndex(pynvml.nvmlDeviceGetHandleByUUID(uuids[1])) == 1
    parent = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(slices[1])
    assert pynvml.nvmlDeviceGetUUID(parent) == board.uuid
    assert pynvml.nvmlDeviceIsMigDeviceHandle(slices[0]).value == 1
    with pytest.raises(pynvml.NVMLError_NotSupported):
        pynvml.nvmlDeviceGetTotalEnergyConsumption(slices[0])
    assert pynvml.nvmlDeviceGetTotalEnergyConsumption(parent) > 0
    board.configure(mig_counter=True)
    assert pynvml.nvmlDeviceGetTotalEnergyConsumption(
        slices[0]
    ) == pynvml.nvmlDeviceGetTotalEnergyConsumption(nvml)
    board.mig(False)
    with pytest.raises(pynvml.NVMLError_NotFound):
        pynvml.nvmlDeviceGetHandleByUUID(uuids[0])


def test_a_setting_that_does_not_exist_is_an_error(board: Any) -> None:
    with pytest.raises(SimulatorError, match="no such name"):
        board.configure(upate_seconds=0.1)
    with pytest.raises(SimulatorError, match="out of its range"):
        board.configure(update_seconds=-1)
