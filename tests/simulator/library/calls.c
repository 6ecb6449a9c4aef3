/* How a call begins and ends: the lock, the clock, the latency, and the failures that a test asked for.
 *
 *   begin:  wait half the latency | lock | initialised? known board? told to fail?      end: unlock | other half
 *
 * What a call reads is therefore true in the middle of the time that it takes. In virtual time the halves are added
 * to the clock.
 */
#include "simulator.h"

#include <math.h>
#include <string.h>
#include <time.h>

Machine machine = {.lock = PTHREAD_MUTEX_INITIALIZER};

static double monotonic(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

double now_locked(void) { return machine.is_virtual ? machine.virtual_now : monotonic(); }

static void let_pass(double seconds, int busy) {
    if (machine.is_virtual) {
        pthread_mutex_lock(&machine.lock);
        machine.virtual_now += seconds;
        pthread_mutex_unlock(&machine.lock);
    } else if (busy) {
        for (double end = monotonic() + seconds; monotonic() < end;) continue;
    } else {
        struct timespec time = {(time_t)seconds, (long)((seconds - floor(seconds)) * 1e9)};
        while (nanosleep(&time, &time)) continue;
    }
}

static void wait_half(const Board *board) {
    pthread_mutex_lock(&machine.lock);
    double seconds = board->set.latency_seconds / 2;
    int busy = board->set.latency_busy != 0;
    pthread_mutex_unlock(&machine.lock);
    if (seconds > 0) let_pass(seconds, busy);
}

/* The board of a handle, or NULL: a handle is the address of a Device of ours, nothing else. */
static Board *board_of(const Device *device) {
    const char *first = (const char *)machine.boards, *here = (const char *)device;
    if (here < first || here >= (const char *)(machine.boards + machine.board_count)) return NULL;
    Board *board = &machine.boards[(size_t)(here - first) / sizeof(Board)];
    if (device == &board->device) return board;
    for (int i = 0; i < SLICES; i++)
        if (device == &board->slices[i]) return board->set.mig && i < board->set.mig_instances ? board : NULL;
    return NULL;
}

/* A rule for "nvmlX" holds for "nvmlX_v2", too: callers do not choose the suffix, their library does. */
static int same_function(const char *rule, const char *name) {
    size_t length = strlen(rule);
    if (strncmp(rule, name, length)) return 0;
    return name[length] == '\0' || (name[length] == '_' && name[length + 1] == 'v');
}

static int asked_to_fail(const char *name, const Board *board) {
    for (size_t i = 0; i < machine.rule_count; i++) {
        Rule *rule = &machine.rules[i];
        if (rule->left == 0 || now_locked() < rule->at || !same_function(rule->function, name)) continue;
        if (rule->board >= 0 && (!board || board->device.board != rule->board)) continue;
        if (rule->left > 0) rule->left--;
        return rule->code;
    }
    return OK;
}

static void note(Call *call) {
    if (call->count++ == 0) {
        call->next = machine.calls;
        machine.calls = call;
    }
}

/* slices_too: 0 the call is for whole boards, 1 for MIG instances as well, 2 for the machine (no handle). */
int call_begin(Call *call, const Device *device, int slices_too, Board **board) {
    pthread_mutex_lock(&machine.lock);
    Board *found = slices_too == 2 ? NULL : board_of(device);
    pthread_mutex_unlock(&machine.lock);
    if (found) wait_half(found);
    pthread_mutex_lock(&machine.lock);
    *board = found;
    note(call);
    int starting = !strncmp(call->name, "nvmlInit", 8);
    if (!machine.references && !starting) return UNINITIALIZED;
    int code = asked_to_fail(call->name, found);
    if (code != OK) return code;
    if (slices_too == 2) return OK;
    if (!found || board_of(device) != found) return INVALID_ARGUMENT;
    return device->slice >= 0 && !slices_too ? NOT_SUPPORTED : OK;
}

int call_end(const Board *board, int status) {
    pthread_mutex_unlock(&machine.lock);
    if (board) wait_half(board);
    return status;
}

void machine_reset(int boards) {
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    machine.is_virtual = 0;
    machine.wall_offset = (double)wall.tv_sec + 1e-9 * (double)wall.tv_nsec - monotonic();
    machine.board_count = boards;
    machine.rule_count = 0;
    machine.absent = 0;
    strcpy(machine.driver, "580.65.06");
    strcpy(machine.nvml_version, "13.580.65.06");
    for (int i = 0; i < BOARDS; i++) board_reset(&machine.boards[i], i, monotonic());
    for (Call *call = machine.calls; call; call = call->next) call->count = 0;
    machine.calls = NULL;
}
