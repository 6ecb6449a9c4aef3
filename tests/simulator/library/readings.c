/* The calls that read one board: energy, power, clocks, heat, limits, processes. */
#include "simulator.h"

#include <math.h>
#include <string.h>

typedef union { double number; unsigned small; uint64_t large; } Value;
typedef struct { uint64_t time; Value value; } Sample;
typedef struct { unsigned field, scope; int64_t time, latency; unsigned type; int status; Value value; } Field;
typedef struct { uint64_t reference, violated; } Violation;
typedef struct { unsigned pid; uint64_t bytes; unsigned gpu_instance, compute_instance; } ProcessInfo;
typedef struct { uint64_t total, free, used; } Memory;
typedef struct { unsigned version; uint64_t total, reserved, free, used; } Memory2;
typedef struct { unsigned version, sensor; int celsius; } Temperature;

enum { TYPE_UNSIGNED = 1, TYPE_LARGE = 3, AMPERE = 7, VOLTA = 5, SAMPLES = 119 };
enum {
    FIELD_POLICY_FIRST = 74, FIELD_POLICY_LAST = 81, FIELD_ENERGY = 83, FIELD_AVERAGE = 185, FIELD_INSTANT = 186,
    FIELD_LIMIT = 190
};

static unsigned milliwatts(double watts) { return (unsigned)fmax(0.0, watts * 1000 + 0.5); }

static uint64_t wall_microseconds(double at) { return (uint64_t)((at + machine.wall_offset) * 1e6); }

/* ---- energy and power ---- */

static int read_energy(Board *board, uint64_t *millijoules) {
    if (!board->set.counter || board->set.architecture < VOLTA) return NOT_SUPPORTED;
    double now = now_locked();
    if (now > board->history.lost) return UNKNOWN_ERROR;
    *millijoules = board_counter(board, now);
    return OK;
}

static int read_power(Board *board, double at, double over, unsigned *answer) {
    if (at > board->history.lost) return UNKNOWN_ERROR;
    *answer = milliwatts(board_power(board, window_tick(board, at), over));
    return OK;
}

static int slice_may(const Device *device, const Board *board) {
    return device->slice < 0 || board->set.mig_counter != 0;
}

EXPORT int nvmlDeviceGetTotalEnergyConsumption(const Device *device, unsigned long long *millijoules) {
    BEGIN_SLICES_TOO(device);
    NEED(millijoules, INVALID_ARGUMENT);
    NEED(slice_may(device, board), NOT_SUPPORTED);
    uint64_t answer = 0;
    int code = read_energy(board, &answer);
    if (code == OK) *millijoules = answer;
    END(code);
}

EXPORT int nvmlDeviceGetPowerUsage(const Device *device, unsigned *power) {
    BEGIN_SLICES_TOO(device);
    NEED(power, INVALID_ARGUMENT);
    NEED(slice_may(device, board), NOT_SUPPORTED);
    END(read_power(board, now_locked(), board->set.duty_seconds, power));
}

static int read_field(Board *board, Field *field) {
    field->type = TYPE_UNSIGNED;
    if (field->scope > 1) return NOT_SUPPORTED;
    if (field->field == FIELD_ENERGY) {
        field->type = TYPE_LARGE;
        return read_energy(board, &field->value.large);
    }
    if (field->field >= FIELD_POLICY_FIRST && field->field <= FIELD_POLICY_LAST) {
        unsigned policy = field->field - FIELD_POLICY_FIRST;
        field->type = TYPE_LARGE;
        field->value.large = board->violations[policy < 6 ? policy : policy + 4];
        return OK;
    }
    if (field->field == FIELD_LIMIT) {
        field->value.small = milliwatts(board->set.power_limit_watts);
        return OK;
    }
    if (board->set.architecture < AMPERE) return NOT_SUPPORTED;
    if (field->field == FIELD_AVERAGE)
        return read_power(board, now_locked(), board->set.average_seconds, &field->value.small);
    if (field->field == FIELD_INSTANT)
        return read_power(board, now_locked(), board->set.duty_seconds, &field->value.small);
    return NOT_SUPPORTED;
}

EXPORT int nvmlDeviceGetFieldValues(const Device *device, int count, Field *fields) {
    BEGIN(device);
    NEED(fields && count > 0, INVALID_ARGUMENT);
    for (int i = 0; i < count; i++) {
        fields[i].value.large = 0;
        fields[i].time = (int64_t)wall_microseconds(now_locked());
        fields[i].latency = 0;
        fields[i].status = read_field(board, &fields[i]);
    }
    END(OK);
}

/* The last power readings that are newer than `since`, oldest first. */
static int read_samples(Board *board, uint64_t since, unsigned *count, Sample *samples) {
    double last = window_tick(board, now_locked()), step = board->set.window_seconds;
    unsigned found = 0;
    for (int i = SAMPLES - 1; i >= 0; i--) {
        double at = last - i * step;
        if (at < board->origin || wall_microseconds(at) <= since) continue;
        if (samples && found < *count) {
            samples[found].time = wall_microseconds(at);
            int code = read_power(board, at + step / 2, board->set.duty_seconds, &samples[found].value.small);
            if (code != OK) return code;
        }
        found++;
    }
    if (!found) return NOT_FOUND;
    if (samples && found > *count) return INVALID_ARGUMENT;
    *count = found;
    return OK;
}

EXPORT int nvmlDeviceGetSamples(const Device *device, unsigned kind, unsigned long long since, unsigned *type,
                                unsigned *count, Sample *samples) {
    BEGIN(device);
    NEED(type && count, INVALID_ARGUMENT);
    NEED(kind == 0, NOT_SUPPORTED);
    *type = TYPE_UNSIGNED;
    END(read_samples(board, since, count, samples));
}

/* ---- limits and modes ---- */

#define NUMBER(FUNCTION, EXPRESSION)                              \
    EXPORT int FUNCTION(const Device *device, unsigned *answer) { \
        BEGIN(device);                                            \
        NEED(answer, INVALID_ARGUMENT);                           \
        *answer = (unsigned)(EXPRESSION);                         \
        END(OK);                                                  \
    }

#define TWO_NUMBERS(FUNCTION, FIRST, SECOND)                                       \
    EXPORT int FUNCTION(const Device *device, unsigned *first, unsigned *second) { \
        BEGIN(device);                                                             \
        NEED(first && second, INVALID_ARGUMENT);                                   \
        *first = (unsigned)(FIRST);                                                \
        *second = (unsigned)(SECOND);                                              \
        END(OK);                                                                   \
    }

NUMBER(nvmlDeviceGetEnforcedPowerLimit, milliwatts(board->set.power_limit_watts))
NUMBER(nvmlDeviceGetPowerManagementLimit, milliwatts(board->set.management_limit_watts))
NUMBER(nvmlDeviceGetPowerManagementDefaultLimit, milliwatts(board->set.default_limit_watts))
NUMBER(nvmlDeviceGetPersistenceMode, board->set.persistence)
NUMBER(nvmlDeviceGetComputeMode, board->set.compute_mode)
NUMBER(nvmlDeviceGetPerformanceState, board->reasons & 1 ? 8 : 0)
TWO_NUMBERS(nvmlDeviceGetEccMode, board->set.ecc, board->set.ecc)
TWO_NUMBERS(nvmlDeviceGetPowerManagementLimitConstraints, milliwatts(board->set.default_limit_watts / 3.5),
            milliwatts(board->set.default_limit_watts))

EXPORT int nvmlDeviceGetUtilizationRates(const Device *device, unsigned *rates) {
    BEGIN(device);
    NEED(rates, INVALID_ARGUMENT);
    NEED(!board->set.mig, NOT_SUPPORTED);
    rates[0] = (unsigned)board->set.utilization;
    rates[1] = (unsigned)board->set.memory_utilization;
    END(OK);
}

EXPORT int nvmlDeviceGetMemoryInfo(const Device *device, Memory *memory) {
    BEGIN_SLICES_TOO(device);
    NEED(memory, INVALID_ARGUMENT);
    double share = device->slice < 0 ? 1.0 : SLICES;
    uint64_t total = (uint64_t)(board->set.memory_bytes / share), used = (uint64_t)(board->set.memory_used_bytes / share);
    *memory = (Memory){total, total - used, used};
    END(OK);
}

EXPORT int nvmlDeviceGetMemoryInfo_v2(const Device *device, Memory2 *memory) {
    BEGIN_SLICES_TOO(device);
    NEED(memory, INVALID_ARGUMENT);
    NEED(memory->version == 0x02000028, VERSION_MISMATCH);
    double share = device->slice < 0 ? 1.0 : SLICES;
    uint64_t total = (uint64_t)(board->set.memory_bytes / share), used = (uint64_t)(board->set.memory_used_bytes / share);
    *memory = (Memory2){0x02000028, total, 0, total - used, used};
    END(OK);
}

/* ---- clocks, heat, throttling ---- */

static double clock_mhz(const Board *board, unsigned kind) {
    return kind == 2 ? line_at(&board->memory_clock, now_locked()) : line_at(&board->sm_clock, now_locked());
}

EXPORT int nvmlDeviceGetClockInfo(const Device *device, unsigned kind, unsigned *mhz) {
    BEGIN(device);
    NEED(mhz && kind < 4, INVALID_ARGUMENT);
    *mhz = (unsigned)(fmax(0.0, clock_mhz(board, kind)) + 0.5);
    END(OK);
}

EXPORT int nvmlDeviceGetClock(const Device *device, unsigned kind, unsigned which, unsigned *mhz) {
    BEGIN(device);
    NEED(mhz && kind < 4 && which < 4, INVALID_ARGUMENT);
    NEED(which == 0, NOT_SUPPORTED);
    *mhz = (unsigned)(fmax(0.0, clock_mhz(board, kind)) + 0.5);
    END(OK);
}

EXPORT int nvmlDeviceGetMaxClockInfo(const Device *device, unsigned kind, unsigned *mhz) {
    BEGIN(device);
    NEED(mhz && kind < 4, INVALID_ARGUMENT);
    *mhz = (unsigned)(kind == 2 ? board->set.max_memory_mhz : board->set.max_sm_mhz);
    END(OK);
}

static int celsius(const Board *board) { return (int)floor(line_at(&board->temperature, now_locked())); }

EXPORT int nvmlDeviceGetTemperature(const Device *device, unsigned sensor, unsigned *answer) {
    BEGIN(device);
    NEED(answer && sensor == 0, INVALID_ARGUMENT);
    *answer = (unsigned)celsius(board);
    END(OK);
}

EXPORT int nvmlDeviceGetTemperatureV(const Device *device, Temperature *answer) {
    BEGIN(device);
    NEED(answer && answer->sensor == 0, INVALID_ARGUMENT);
    NEED(answer->version == 0x100000C, VERSION_MISMATCH);
    answer->celsius = celsius(board);
    END(OK);
}

EXPORT int nvmlDeviceGetTemperatureThreshold(const Device *device, unsigned kind, unsigned *answer) {
    BEGIN(device);
    NEED(answer && kind < 8, INVALID_ARGUMENT);
    NEED(kind < 2, NOT_SUPPORTED);
    *answer = kind == 0 ? 95 : 88;
    END(OK);
}

#define REASONS(FUNCTION, EXPRESSION)                                        \
    EXPORT int FUNCTION(const Device *device, unsigned long long *answer) {  \
        BEGIN(device);                                                       \
        NEED(answer, INVALID_ARGUMENT);                                      \
        *answer = (EXPRESSION);                                              \
        END(OK);                                                             \
    }

REASONS(nvmlDeviceGetCurrentClocksEventReasons, board->reasons)
REASONS(nvmlDeviceGetCurrentClocksThrottleReasons, board->reasons)
REASONS(nvmlDeviceGetSupportedClocksEventReasons, 0x1ff)
REASONS(nvmlDeviceGetSupportedClocksThrottleReasons, 0x1ff)

EXPORT int nvmlDeviceGetViolationStatus(const Device *device, unsigned policy, Violation *violation) {
    BEGIN(device);
    NEED(violation && policy < POLICIES, INVALID_ARGUMENT);
    NEED(policy < 6 || policy >= 10, INVALID_ARGUMENT);
    *violation = (Violation){(uint64_t)(now_locked() * 1e6), board->violations[policy]};
    END(OK);
}

/* ---- processes ---- */

static int list(const Board *board, const Device *device, int graphics, unsigned *count, ProcessInfo *infos) {
    if (!count) return INVALID_ARGUMENT;
    unsigned found = 0, room = *count;
    for (size_t i = 0; i < board->process_count; i++) {
        const Process *process = &board->processes[i];
        if (process->graphics != graphics || device->slice > 0) continue;  /* with MIG, all run in instance 0 */
        unsigned instance = board->set.mig ? 7 : 0xffffffff;
        if (infos && found < room)
            infos[found] = (ProcessInfo){process->pid, process->bytes, instance, board->set.mig ? 0 : 0xffffffff};
        found++;
    }
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : OK;
}

#define PROCESSES_CALL(FUNCTION, GRAPHICS)                                              \
    EXPORT int FUNCTION(const Device *device, unsigned *count, ProcessInfo *infos) {    \
        BEGIN_SLICES_TOO(device);                                                       \
        END(list(board, device, (GRAPHICS), count, infos));                             \
    }

PROCESSES_CALL(nvmlDeviceGetComputeRunningProcesses_v3, 0)
PROCESSES_CALL(nvmlDeviceGetComputeRunningProcesses_v2, 0)
PROCESSES_CALL(nvmlDeviceGetGraphicsRunningProcesses_v3, 1)
PROCESSES_CALL(nvmlDeviceGetGraphicsRunningProcesses_v2, 1)
PROCESSES_CALL(nvmlDeviceGetMPSComputeRunningProcesses_v3, 2)
