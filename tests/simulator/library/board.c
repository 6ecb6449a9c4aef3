/* What a board's sensor makes of its true power, and what else can be set about a board.
 *
 *   true energy   ........./‾‾‾‾/........      counted everywhere, or only in the last part of each window
 *   counter       ____|____|____|____|__       moves at ticks: origin + (n + phase + jitter) * update_seconds
 *   power         mean of the `duty_seconds` before the last window's end; may be longer than a window
 */
#include "simulator.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTING(NAME, LOW, HIGH) {#NAME, offsetof(Settings, NAME), LOW, HIGH}
static const struct { const char *name; size_t offset; double low, high; } SETTINGS[] = {
    SETTING(update_seconds, 1e-4, 60), SETTING(phase, 0, 1), SETTING(jitter, 0, 0.9),
    SETTING(counter, 0, 1), SETTING(counter_sampled, 0, 1), SETTING(gain, 1e-3, 1e3),
    SETTING(window_seconds, 1e-4, 60), SETTING(duty_seconds, 1e-5, 60), SETTING(average_seconds, 1e-5, 60),
    SETTING(latency_seconds, 0, 60), SETTING(latency_busy, 0, 1), SETTING(architecture, 2, 15),
    SETTING(mig, 0, 1), SETTING(mig_instances, 0, SLICES), SETTING(mig_counter, 0, 1), SETTING(ecc, 0, 1),
    SETTING(persistence, 0, 1), SETTING(compute_mode, 0, 3), SETTING(utilization, 0, 100),
    SETTING(memory_utilization, 0, 100), SETTING(memory_bytes, 1, 1e15), SETTING(memory_used_bytes, 0, 1e15),
    SETTING(max_sm_mhz, 1, 1e5), SETTING(max_memory_mhz, 1, 1e5), SETTING(power_limit_watts, 1, 1e5),
    SETTING(management_limit_watts, 1, 1e5), SETTING(default_limit_watts, 1, 1e5),
};

static const Settings DEFAULTS = {
    .update_seconds = 0.1, .counter = 1, .gain = 1, .window_seconds = 0.1, .duty_seconds = 0.1,
    .average_seconds = 1.0, .architecture = 9, .mig_instances = 2, .ecc = 1, .persistence = 1,
    .utilization = 100, .memory_utilization = 40, .memory_bytes = 85899345920.0, .memory_used_bytes = 2147483648.0,
    .max_sm_mhz = 1980, .max_memory_mhz = 2619, .power_limit_watts = 700, .management_limit_watts = 700,
    .default_limit_watts = 700,
};

static uint64_t scrambled(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void make_uuid(char *text, size_t room, const char *kind, uint64_t seed) {
    uint64_t a = scrambled(seed), b = scrambled(seed + 1000);
    snprintf(text, room, "%s-%08x-%04x-4%03x-9%03x-%012llx", kind, (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xffff),
             (unsigned)(a & 0xfff), (unsigned)(b >> 52), (unsigned long long)(b & 0xffffffffffff));
}

void board_reset(Board *board, int index, double now) {
    Segment *old = board->history.segments;
    *board = (Board){.device = {index, -1}, .set = DEFAULTS, .origin = now, .epoch = now, .reset_at = INFINITY};
    board->history.segments = old;
    history_clear(&board->history, now, 60.0);
    board->set.phase = fmod(0.37 * index, 1.0);
    board->base = 123456.7891 * (index + 1);
    board->shown = (uint64_t)(board->base * 1000);
    make_uuid(board->uuid, sizeof board->uuid, "GPU", (uint64_t)index);
    for (int i = 0; i < SLICES; i++) {
        board->slices[i] = (Device){index, i};
        make_uuid(board->slice_uuids[i], sizeof board->slice_uuids[i], "MIG", (uint64_t)(100 * (index + 1) + i));
    }
    snprintf(board->name, sizeof board->name, "NVIDIA Simulated GPU");
    snprintf(board->vbios, sizeof board->vbios, "96.00.00.00.%02X", index + 1);
    snprintf(board->bus, sizeof board->bus, "00000000:%02X:00.0", 0x10 * (index + 1));
    snprintf(board->serial, sizeof board->serial, "16500000000%02d", index);
    board->temperature = (Line){45.0, 0.0, now};
    board->sm_clock = (Line){1755.0, 0.0, now};
    board->memory_clock = (Line){2619.0, 0.0, now};
}

double line_at(const Line *line, double now) { return line->value + line->slope * (now - line->since); }

static double tick_time(const Board *board, double n) {
    const Settings *set = &board->set;
    double shift = 0.0;
    if (set->jitter > 0)
        shift = set->jitter * ((double)(scrambled((uint64_t)(int64_t)n) >> 11) / 9007199254740992.0 - 0.5);
    return board->origin + (n + set->phase + shift) * set->update_seconds;
}

static double last_tick(const Board *board, double now) {
    double n = floor((now - board->origin) / board->set.update_seconds - board->set.phase) + 1;
    while (tick_time(board, n) > now) n--;
    return tick_time(board, n);
}

static double window_end(const Board *board, int64_t n) {
    return board->origin + ((double)n + board->set.phase) * board->set.window_seconds;
}

static int64_t windows_ended(const Board *board, double now) {
    int64_t n = (int64_t)floor((now - board->origin) / board->set.window_seconds - board->set.phase) + 1;
    while (window_end(board, n) > now) n--;
    return n;
}

double window_tick(const Board *board, double now) { return window_end(board, windows_ended(board, now)); }

/* Joules that the counter would have taken in since the history began: of the last `duty_seconds` of each window,
 * scaled up. Asked for rising moments only, so that each window is added once. */
static double counted(Board *board, double at) {
    const Settings *set = &board->set;
    if (!set->counter_sampled || set->duty_seconds >= set->window_seconds)
        return history_joules(&board->history, at);
    int64_t done = windows_ended(board, at);
    double scale = set->window_seconds / set->duty_seconds;
    for (; board->windows_done < done; board->windows_done++) {
        double end = window_end(board, board->windows_done + 1);
        board->windows_sum += scale * (history_joules(&board->history, end)
                                       - history_joules(&board->history, end - set->duty_seconds));
    }
    double begin = window_end(board, done + 1) - set->duty_seconds;
    double part = at > begin ? history_joules(&board->history, at) - history_joules(&board->history, begin) : 0.0;
    return board->windows_sum + scale * part;
}

static void start_epoch(Board *board, double at, double base, uint64_t shown) {
    board->epoch = at;
    board->base = base;
    board->shown = shown;
    board->windows_sum = 0.0;
    board->windows_done = windows_ended(board, at);
    board->counted_then = counted(board, at);
}

static double true_base(Board *board, double at) {
    return board->base + board->set.gain * (counted(board, at) - board->counted_then);
}

static void take_reset(Board *board, double now) {
    if (now < board->reset_at) return;
    double at = board->reset_at;
    board->reset_at = INFINITY;
    start_epoch(board, at, 0.0, 0);
}

uint64_t board_counter(Board *board, double now) {
    take_reset(board, now);
    double tick = last_tick(board, now);
    if (tick <= board->epoch) return board->shown;
    return (uint64_t)(true_base(board, tick) * 1000);
}

/* Closes the account under the old settings; the counter goes on from where it is. */
void board_settle(Board *board, double now) {
    uint64_t shown = board_counter(board, now);
    start_epoch(board, now, true_base(board, now), shown);
}

double board_power(Board *board, double at, double over) {
    double begin = fmax(board->history.segments[0].start, at - over);
    double joules = history_joules(&board->history, at) - history_joules(&board->history, begin);
    double watts = at > begin ? joules / (at - begin) : history_power(&board->history, at);
    return board->set.gain * watts;
}

int board_set(Board *board, const char *name, double value, double now) {
    for (size_t i = 0; i < sizeof SETTINGS / sizeof *SETTINGS; i++) {
        if (strcmp(name, SETTINGS[i].name)) continue;
        if (!(value >= SETTINGS[i].low && value <= SETTINGS[i].high)) return BAD_VALUE;
        board_settle(board, now);
        *(double *)((char *)&board->set + SETTINGS[i].offset) = value;
        start_epoch(board, now, board->base, board->shown);
        return OK;
    }
    return BAD_NAME;
}

int board_set_text(Board *board, const char *name, const char *text) {
    struct { const char *name; char *room; size_t size; } texts[] = {
        {"uuid", board->uuid, sizeof board->uuid}, {"name", board->name, sizeof board->name},
        {"vbios", board->vbios, sizeof board->vbios}, {"bus", board->bus, sizeof board->bus},
        {"serial", board->serial, sizeof board->serial},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(name, texts[i].name)) continue;
        if (strlen(text) >= texts[i].size) return BAD_VALUE;
        strcpy(texts[i].room, text);
        return OK;
    }
    return BAD_NAME;
}
