"""One simulated board: what a test sets about it, and the truth it may ask for.

All moments are seconds of ``time.perf_counter`` (the library reads the same clock), or of the virtual clock
once `Simulator.virtual` has stopped it. What is set begins at the moment of the call; the past never changes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from ctypes import byref, c_double

from tests.simulator import loading
from tests.simulator.loading import NOW, Library, check, moment

POLICIES = {"power": 0, "thermal": 1, "sync": 2, "board": 3, "utilization": 4, "reliability": 5}
_TEMPERATURE, _SM_CLOCK, _MEMORY_CLOCK = range(3)


class Board:
    """One simulated board.

    Attributes:
        index: Its number in NVML.
    """

    def __init__(self, library: Library, index: int) -> None:
        self._library = library
        self._c = library.quick
        self.index = index
        self._set_power = self._c.sim_power

    @property
    def uuid(self) -> str:
        """ "GPU-..."; the same in every process, unless configured."""
        return self._text(-1)

    def mig_uuid(self, instance: int) -> str:
        """ "MIG-..." of one of its instances."""
        return self._text(instance)

    def _text(self, instance: int) -> str:
        room = ctypes.create_string_buffer(96)
        check(self._c.sim_text(self.index, instance, room, 96), "uuid")
        return room.value.decode()

    # -- power: what is true

    def power(self, watts: float, at: float | None = None) -> None:
        """Constant power from now on (or from the moment `at`); cheap enough to mark the phases of a call.

        Raises:
            SimulatorError: `watts` is below 0, `at` is past, or a million changes are recorded.
        """
        code = self._set_power(self.index, watts, NOW if at is None else at)
        if code:
            check(code, f"power({watts})")

    def square(
        self,
        low: float,
        high: float,
        period_seconds: float,
        duty: float = 0.5,
        phase: float = 0.0,
        at: float | None = None,
    ) -> None:
        """A square wave from now on.

        Args:
            low: Watts in the rest of each period.
            high: Watts in the first `duty` of each period.
            period_seconds: Length of a period.
            duty: 0 to 1.
            phase: Where in a period it begins, 0 to 1.
            at: When it begins; now by default.
        """
        code = self._c.sim_square(self.index, low, high, period_seconds, duty, phase, moment(at))
        check(code, "square")

    def trace(self, points: Iterable[tuple[float, float]]) -> None:
        """Steps: (seconds from now, watts from then on), in order; cuts off what was planned after."""
        pairs = list(points)
        kind = c_double * len(pairs)
        seconds, watts = kind(*(pair[0] for pair in pairs)), kind(*(pair[1] for pair in pairs))
        check(self._c.sim_trace(self.index, len(pairs), seconds, watts), "trace")

    def ramp(self, to: float, seconds: float, start: float | None = None, at: float | None = None) -> None:
        """From the power of the moment, or from `start`, evenly to `to`; constant afterwards. Watts."""
        check(self._c.sim_ramp(self.index, moment(start), to, seconds, moment(at)), "ramp")

    def joules(self, start: float, end: float) -> float:
        """The truth: the exact integral of true power between two past moments.

        Raises:
            SimulatorError: They are out of order, before the start, in the future, or the history overran.
        """
        answer = c_double()
        check(self._c.sim_joules(self.index, start, end, byref(answer)), f"joules({start}, {end})")
        return answer.value

    def watts(self) -> float:
        """True power at this moment."""
        answer = c_double()
        check(self._c.sim_true_power(self.index, byref(answer)), "watts")
        return answer.value

    # -- the sensor, and what else NVML tells

    def configure(self, **settings: float | str) -> None:
        """Settings by name.

        | names | what |
        | --- | --- |
        | update_seconds, phase, jitter | U of the counter; where its grid begins, how far ticks stray, in U |
        | counter, gain | False: NotSupported; what the sensor makes of a joule |
        | window_seconds | how often power readings move; `phase` holds for them, too |
        | duty_seconds | what part before a window's end power readings average; may be longer than a window |
        | average_seconds | the same for NVML_FI_DEV_POWER_AVERAGE |
        | counter_sampled | True: the counter, too, sees only `duty_seconds` of each window |
        | latency_seconds, latency_busy | of each call about this board; True: spin instead of sleeping |
        | architecture | NVML's number; below 5 (Volta) the counter is not supported |
        | mig, mig_instances, mig_counter | mig_counter=True: an instance tells its whole board's energy |
        | ecc, persistence, compute_mode, utilization, memory_utilization | as NVML |
        | memory_bytes, memory_used_bytes, max_sm_mhz, max_memory_mhz | as NVML |
        | power_limit_watts, management_limit_watts, default_limit_watts | as NVML |
        | uuid, name, vbios, bus, serial | texts |

        Raises:
            SimulatorError: No such name, or a value out of range.
        """
        for name, value in settings.items():
            if isinstance(value, str):
                code = self._c.sim_set_text(self.index, name.encode(), value.encode())
            else:
                code = self._c.sim_set(self.index, name.encode(), float(value))
            check(code, f"{name}={value!r}")

    def processes(
        self,
        compute: Sequence[int] = (),
        graphics: Sequence[int] = (),
        memory_bytes: int = 1 << 30,
    ) -> None:
        """The processes that run on the board, by id; replaces the list."""
        check(self._c.sim_forget_processes(self.index), "processes")
        for kind, pids in enumerate((compute, graphics)):
            for pid in pids:
                check(self._c.sim_process(self.index, pid, kind, memory_bytes), f"process {pid}")

    def throttle(self, policy: str | int, seconds: float) -> None:
        """Adds to a violation counter, at once.

        Args:
            policy: "power", "thermal", "sync", "board", "utilization", "reliability", or NVML's number.
            seconds: How much.
        """
        number = POLICIES[policy] if isinstance(policy, str) else policy
        check(self._c.sim_violate(self.index, number, seconds), f"throttle({policy})")

    def reasons(self, bits: int) -> None:
        """The clocks' event reasons from now on, as NVML's bits."""
        check(self._c.sim_reasons(self.index, bits), "reasons")

    def clock(self, mhz: float, memory_mhz: float | None = None) -> None:
        """The SM (and memory) clock from now on; ends a drift."""
        check(self._c.sim_line(self.index, _SM_CLOCK, mhz, 0.0), "clock")
        if memory_mhz is not None:
            check(self._c.sim_line(self.index, _MEMORY_CLOCK, memory_mhz, 0.0), "clock")

    def clock_drift(self, fraction_per_second: float) -> None:
        """Lets the SM clock move from now on, by that share of its present value each second."""
        value = c_double()
        check(self._c.sim_line_value(self.index, _SM_CLOCK, byref(value)), "clock_drift")
        slope = value.value * fraction_per_second
        check(self._c.sim_line(self.index, _SM_CLOCK, value.value, slope), "clock_drift")

    def temperature(self, celsius: float, per_second: float = 0.0) -> None:
        """The chip's temperature from now on; NVML tells whole degrees."""
        check(self._c.sim_line(self.index, _TEMPERATURE, celsius, per_second), "temperature")

    def power_limit(self, watts: float, management: float | None = None) -> None:
        """The enforced limit, and the one asked for (the same by default)."""
        self.configure(
            power_limit_watts=watts, management_limit_watts=watts if management is None else management
        )

    def reset_counter(self, at: float | None = None) -> None:
        """The counter starts again at 0, as after a driver reload: now, or later (one at a time)."""
        check(self._c.sim_reset_counter(self.index, moment(at)), "reset_counter")

    def fail(self, function: str, code: int | str, at: float | None = None, count: int | None = None) -> None:
        """Makes a function of NVML fail for this board.

        Args:
            function: Its name; the suffix _v2, _v3 may be left out.
            code: NVML's number, or the name after NVML_ERROR_, such as "GPU_IS_LOST".
            at: From which moment on; now by default.
            count: How many calls fail; all by default. Of several rules the first that holds wins.

        Raises:
            SimulatorError: There is no such function.
        """
        loading.fail(self._library, function, self.index, code, at, count)

    def mig(self, on: bool, instances: int = 2) -> None:
        """Switches MIG, with that many instances."""
        self.configure(mig=on, mig_instances=instances)
