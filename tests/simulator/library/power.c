/* The true power of a board: a list of segments in time, each with the joules spent before it.
 *
 *   watts   ____|‾‾|__|‾‾|__/‾‾‾‾‾|____
 *           const   square  ramp    const        joules(t) = before + closed form within the segment
 *
 * A segment lasts until the next begins. New ones cut off what had been planned after them.
 */
#include "simulator.h"

#include <math.h>
#include <stdlib.h>

/* Periods times the share of them spent high, from 0 to `periods`. */
static double high_share(double periods, double duty) {
    double whole = floor(periods);
    return whole * duty + fmin(periods - whole, duty);
}

static double spent(const Segment *segment, double seconds) {
    if (segment->shape == RAMP) return (segment->low + segment->slope * seconds / 2) * seconds;
    if (segment->shape == CONSTANT) return segment->low * seconds;
    double high = high_share(segment->phase + seconds / segment->period, segment->duty)
                - high_share(segment->phase, segment->duty);
    return segment->low * seconds + (segment->high - segment->low) * segment->period * high;
}

/* The segment in force at a moment; the first one for moments before it. */
static const Segment *find(const History *history, double at) {
    size_t low = 0, high = history->count;
    if (at >= history->segments[high - 1].start) return &history->segments[high - 1];
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (history->segments[middle].start <= at) low = middle; else high = middle;
    }
    return &history->segments[low];
}

double history_joules(const History *history, double at) {
    const Segment *segment = find(history, at);
    return segment->before + (at > segment->start ? spent(segment, at - segment->start) : 0.0);
}

double history_power(const History *history, double at) {
    const Segment *segment = find(history, at);
    double seconds = fmax(0.0, at - segment->start);
    if (segment->shape == RAMP) return segment->low + segment->slope * seconds;
    if (segment->shape == CONSTANT) return segment->low;
    double periods = segment->phase + seconds / segment->period;
    return periods - floor(periods) < segment->duty ? segment->high : segment->low;
}

void history_clear(History *history, double start, double watts) {
    free(history->segments);
    *history = (History){.lost = INFINITY};
    history_add(history, (Segment){.shape = CONSTANT, .start = start, .low = watts});
}

/* Forgets what was planned from `at` on. The first segment stays: it began before anybody could ask. */
void history_cut(History *history, double at) {
    while (history->count > 1 && history->segments[history->count - 1].start >= at) history->count--;
}

/* Adds a segment at the end, unless it only says again what holds. Where there is no room left, the truth counts as
 * lost from its start on. */
int history_add(History *history, Segment segment) {
    const Segment *last = history->count ? &history->segments[history->count - 1] : NULL;
    if (last && last->shape == CONSTANT && segment.shape == CONSTANT && last->low == segment.low) return OK;
    if (history->count == SEGMENTS || history->lost < INFINITY) {
        if (segment.start < history->lost) history->lost = segment.start;
        return TOO_LONG;
    }
    if (history->count == history->room) {
        size_t room = history->room ? 2 * history->room : 16;
        Segment *segments = realloc(history->segments, room * sizeof *segments);
        if (!segments) {
            history->lost = segment.start;
            return TOO_LONG;
        }
        history->segments = segments;
        history->room = room;
    }
    segment.before = history->count ? history_joules(history, segment.start) : 0.0;
    history->segments[history->count++] = segment;
    return OK;
}
