/* What the parts of the simulated libnvidia-ml.so.1 know of each other.
 *
 *   power.c    the true power of a board over time, and its exact integral
 *   board.c    what the board's sensor makes of it: counter, power readings; clocks and heat; settings by name
 *   calls.c    how a call begins and ends: lock, latency, failures that were asked for
 *   nvml.c     the calls about the whole machine, and those that tell one board from another
 *   readings.c the calls that read one board
 *   control.c  what tests set and ask (sim_...)
 *   startup.c  the state that a process starts in, read from the environment
 *
 * Times are seconds of CLOCK_MONOTONIC (or of the virtual clock), energies joules, powers watts. Whoever
 * touches a Board or Machine holds `machine.lock`.
 */
#ifndef SIMULATOR_H
#define SIMULATOR_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

enum { BOARDS = 16, SLICES = 7, PROCESSES = 64, POLICIES = 12, RULES = 64, SEGMENTS = 1000000 };

enum {
    OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
    LIBRARY_NOT_FOUND = 12, VERSION_MISMATCH = 25, UNKNOWN_ERROR = 999
};

/* What control.c answers beside OK. */
enum { BAD_BOARD = -1, BAD_VALUE = -2, TOO_LONG = -3, BAD_TIME = -4, BAD_NAME = -5, BUSY = -6 };

/* ---- power.c: the truth ---- */
typedef enum { CONSTANT, RAMP, SQUARE } Shape;

typedef struct {
    Shape shape;
    double start, before;               /* when it begins; joules spent before */
    double low, high, slope;            /* constant and ramp begin at `low`; ramp adds slope * seconds */
    double period, duty, phase;         /* square: `high` for the first `duty` of each period */
} Segment;

typedef struct {
    Segment *segments;
    size_t count, room;
    double lost;                        /* from this moment on the truth is unknown: the history was full */
} History;

void history_clear(History *history, double start, double watts);
void history_cut(History *history, double at);
int history_add(History *history, Segment segment);
double history_power(const History *history, double at);
double history_joules(const History *history, double at);   /* since the history began */

/* ---- board.c: what is seen of it ---- */
typedef struct {                        /* all doubles: they are set by name, see SETTINGS in board.c */
    double update_seconds, phase, jitter, counter, counter_sampled, gain;
    double window_seconds, duty_seconds, average_seconds;
    double latency_seconds, latency_busy;
    double architecture, mig, mig_instances, mig_counter, ecc, persistence, compute_mode;
    double utilization, memory_utilization, memory_bytes, memory_used_bytes;
    double max_sm_mhz, max_memory_mhz, power_limit_watts, management_limit_watts, default_limit_watts;
} Settings;

typedef struct { double value, slope, since; } Line;
typedef struct { unsigned pid; int graphics; uint64_t bytes; } Process;

typedef struct {
    int board, slice;                   /* slice: -1 for the board itself, else its MIG instance */
} Device;

typedef struct {
    Device device, slices[SLICES];
    char uuid[96], name[96], vbios[32], bus[32], serial[30], slice_uuids[SLICES][96];
    Settings set;
    History history;
    /* counter: `base` joules at `epoch`, where `counted_then` had been counted; `shown` until the next tick */
    double origin, base, epoch, counted_then, reset_at;
    uint64_t shown;
    double windows_sum;                 /* sampled counter: joules of the windows before `windows_done` */
    int64_t windows_done;
    Line temperature, sm_clock, memory_clock;
    uint64_t reasons, violations[POLICIES];
    Process processes[PROCESSES];
    size_t process_count;
} Board;

void board_reset(Board *board, int index, double now);
void board_settle(Board *board, double now);
uint64_t board_counter(Board *board, double now);           /* mJ */
double board_power(Board *board, double at, double over);   /* as the sensor reads it, averaged */
double window_tick(const Board *board, double now);
double line_at(const Line *line, double now);
int board_set(Board *board, const char *name, double value, double now);
int board_set_text(Board *board, const char *name, const char *text);

/* ---- calls.c ---- */
typedef struct { char function[64]; int board, code; double at; long left; } Rule;  /* left < 0: for good */

typedef struct Call { const char *name; unsigned long count; struct Call *next; } Call;

typedef struct {
    pthread_mutex_t lock;
    Board boards[BOARDS];
    int board_count, references, absent, is_virtual, broken;
    double virtual_now, wall_offset;
    Rule rules[RULES];
    size_t rule_count;
    Call *calls;
    char driver[80], nvml_version[80];
} Machine;

extern Machine machine;

double now_locked(void);
void machine_reset(int boards);
int call_begin(Call *call, const Device *device, int slices_too, Board **board);
int call_end(const Board *board, int status);

/* Opens a call: from here on the lock is held and `board` is set; leave with END only. */
#define BEGIN_(DEVICE, SLICES_TOO)                                               \
    static Call call = {__func__, 0, NULL};                                      \
    Board *board = NULL;                                                         \
    int status = call_begin(&call, (DEVICE), (SLICES_TOO), &board);              \
    if (status != OK) return call_end(board, status)
#define BEGIN(DEVICE) BEGIN_(DEVICE, 0)
#define BEGIN_SLICES_TOO(DEVICE) BEGIN_(DEVICE, 1)
#define BEGIN_MACHINE() BEGIN_(NULL, 2)
#define END(STATUS) return call_end(board, (STATUS))
#define NEED(CONDITION, STATUS) if (!(CONDITION)) END(STATUS)

#endif
