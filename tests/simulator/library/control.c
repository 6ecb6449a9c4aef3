/* What tests set and ask. Every function takes the lock; numbers below 0 are refusals (see simulator.h). */
#include "simulator.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void lock(void) { pthread_mutex_lock(&machine.lock); }

static int unlocked(int answer) {
    pthread_mutex_unlock(&machine.lock);
    return answer;
}

static Board *board_at(int index) {
    return index >= 0 && index < machine.board_count ? &machine.boards[index] : NULL;
}

#define LOCKED_BOARD(INDEX)               \
    lock();                               \
    Board *board = board_at(INDEX);       \
    if (!board) return unlocked(BAD_BOARD)

/* ---- the machine ---- */

EXPORT int sim_reset(int boards) {
    if (boards < 0 || boards > BOARDS) return BAD_VALUE;
    lock();
    machine_reset(boards);
    machine.broken = 0;
    return unlocked(OK);
}

/* As if the library were not there; who holds it open is shut out. */
EXPORT void sim_absent(void) {
    lock();
    machine_reset(0);
    machine.absent = 1;
    machine.references = 0;
    unlocked(OK);
}

EXPORT double sim_now(void) {
    lock();
    double now = now_locked();
    unlocked(OK);
    return now;
}

/* Stops the clock, or lets it run again; back to real time only if that is not behind. */
EXPORT int sim_virtual(int on) {
    lock();
    double before = now_locked();
    machine.virtual_now = before;
    machine.is_virtual = on;
    if (now_locked() >= before) return unlocked(OK);
    machine.is_virtual = 1;
    return unlocked(BAD_TIME);
}

EXPORT int sim_advance(double seconds) {
    lock();
    if (!machine.is_virtual || !(seconds >= 0)) return unlocked(BAD_TIME);
    machine.virtual_now += seconds;
    return unlocked(OK);
}

EXPORT long sim_calls(const char *function) {
    lock();
    unsigned long count = 0;
    for (Call *call = machine.calls; call; call = call->next)
        if (!strcmp(call->name, function)) count = call->count;
    pthread_mutex_unlock(&machine.lock);
    return (long)count;
}

EXPORT int sim_fail(const char *function, int board, int code, double at, long count) {
    lock();
    if (machine.rule_count == RULES) return unlocked(TOO_LONG);
    if (strlen(function) >= sizeof machine.rules[0].function) return unlocked(BAD_NAME);
    Rule *rule = &machine.rules[machine.rule_count++];
    *rule = (Rule){.board = board, .code = code, .at = isnan(at) ? -INFINITY : at, .left = count};
    strcpy(rule->function, function);
    return unlocked(OK);
}

EXPORT void sim_heal(void) {
    lock();
    machine.rule_count = 0;
    unlocked(OK);
}

EXPORT int sim_driver(const char *driver) {
    lock();
    snprintf(machine.driver, sizeof machine.driver, "%s", driver);
    return unlocked(OK);
}

/* ---- power and the truth ---- */

/* Where a change may begin: NaN is now; the past is fixed. */
static int moment(double *at) {
    double now = now_locked();
    if (isnan(*at)) *at = now;
    return *at >= now ? OK : BAD_TIME;
}

static int plan(Board *board, Segment segment) {
    history_cut(&board->history, segment.start);
    return history_add(&board->history, segment);
}

EXPORT int sim_power(int index, double watts, double at) {
    LOCKED_BOARD(index);
    if (!(watts >= 0 && watts < 1e6)) return unlocked(BAD_VALUE);
    if (moment(&at)) return unlocked(BAD_TIME);
    return unlocked(plan(board, (Segment){.shape = CONSTANT, .start = at, .low = watts}));
}

EXPORT int sim_square(int index, double low, double high, double period, double duty, double phase, double at) {
    LOCKED_BOARD(index);
    if (!(low >= 0 && high >= 0 && period > 0 && duty >= 0 && duty <= 1 && phase >= 0 && phase <= 1))
        return unlocked(BAD_VALUE);
    if (moment(&at)) return unlocked(BAD_TIME);
    return unlocked(plan(board, (Segment){.shape = SQUARE, .start = at, .low = low, .high = high, .period = period,
                                          .duty = duty, .phase = phase}));
}

EXPORT int sim_ramp(int index, double from, double to, double seconds, double at) {
    LOCKED_BOARD(index);
    if (!(to >= 0 && seconds > 0)) return unlocked(BAD_VALUE);
    if (moment(&at)) return unlocked(BAD_TIME);
    if (isnan(from)) from = history_power(&board->history, at);
    if (!(from >= 0)) return unlocked(BAD_VALUE);
    int code = plan(board, (Segment){.shape = RAMP, .start = at, .low = from, .slope = (to - from) / seconds});
    if (code == OK) code = history_add(&board->history, (Segment){.start = at + seconds, .low = to});
    return unlocked(code);
}

/* Seconds from now, rising, and the watts from then on. */
EXPORT int sim_trace(int index, size_t count, const double *seconds, const double *watts) {
    LOCKED_BOARD(index);
    double now = now_locked();
    for (size_t i = 0; i < count; i++)
        if (!(seconds[i] >= 0 && watts[i] >= 0 && (i == 0 || seconds[i] > seconds[i - 1]))) return unlocked(BAD_VALUE);
    if (count) history_cut(&board->history, now + seconds[0]);
    int code = OK;
    for (size_t i = 0; i < count && code == OK; i++)
        code = history_add(&board->history, (Segment){.start = now + seconds[i], .low = watts[i]});
    return unlocked(code);
}

/* True energy between two moments of the past. */
EXPORT int sim_joules(int index, double start, double end, double *joules) {
    LOCKED_BOARD(index);
    if (!(start <= end && start >= board->history.segments[0].start && end <= now_locked())) return unlocked(BAD_TIME);
    if (end > board->history.lost) return unlocked(TOO_LONG);
    *joules = history_joules(&board->history, end) - history_joules(&board->history, start);
    return unlocked(OK);
}

EXPORT int sim_true_power(int index, double *watts) {
    LOCKED_BOARD(index);
    *watts = history_power(&board->history, now_locked());
    return unlocked(OK);
}

/* ---- one board ---- */

EXPORT int sim_set(int index, const char *name, double value) {
    LOCKED_BOARD(index);
    return unlocked(board_set(board, name, value, now_locked()));
}

EXPORT int sim_set_text(int index, const char *name, const char *text) {
    LOCKED_BOARD(index);
    return unlocked(board_set_text(board, name, text));
}

EXPORT int sim_text(int index, int slice, char *text, size_t room) {
    LOCKED_BOARD(index);
    if (slice >= SLICES) return unlocked(BAD_VALUE);
    snprintf(text, room, "%s", slice < 0 ? board->uuid : board->slice_uuids[slice]);
    return unlocked(OK);
}

EXPORT int sim_reset_counter(int index, double at) {
    LOCKED_BOARD(index);
    if (moment(&at)) return unlocked(BAD_TIME);
    board_settle(board, now_locked());
    if (board->reset_at < INFINITY) return unlocked(BUSY);
    board->reset_at = at;
    return unlocked(OK);
}

/* which: 0 temperature, 1 SM clock, 2 memory clock. */
EXPORT int sim_line(int index, int which, double value, double slope) {
    LOCKED_BOARD(index);
    Line *lines[] = {&board->temperature, &board->sm_clock, &board->memory_clock};
    if (which < 0 || which > 2) return unlocked(BAD_NAME);
    double now = now_locked();
    *lines[which] = (Line){isnan(value) ? line_at(lines[which], now) : value, slope, now};
    return unlocked(OK);
}

EXPORT int sim_line_value(int index, int which, double *value) {
    LOCKED_BOARD(index);
    Line *lines[] = {&board->temperature, &board->sm_clock, &board->memory_clock};
    if (which < 0 || which > 2) return unlocked(BAD_NAME);
    *value = line_at(lines[which], now_locked());
    return unlocked(OK);
}

EXPORT int sim_reasons(int index, unsigned long long bits) {
    LOCKED_BOARD(index);
    board->reasons = bits;
    return unlocked(OK);
}

EXPORT int sim_violate(int index, int policy, double seconds) {
    LOCKED_BOARD(index);
    if (policy < 0 || policy >= POLICIES || !(seconds >= 0)) return unlocked(BAD_VALUE);
    board->violations[policy] += (uint64_t)(seconds * 1e9);
    return unlocked(OK);
}

EXPORT int sim_forget_processes(int index) {
    LOCKED_BOARD(index);
    board->process_count = 0;
    return unlocked(OK);
}

EXPORT int sim_process(int index, unsigned pid, int kind, unsigned long long bytes) {
    LOCKED_BOARD(index);
    if (board->process_count == PROCESSES) return unlocked(TOO_LONG);
    board->processes[board->process_count++] = (Process){pid, kind, bytes};
    return unlocked(OK);
}
