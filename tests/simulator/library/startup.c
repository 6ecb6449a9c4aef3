/* The state that a process starts in: the environment variable GREENADAPT_SIMULATOR, a JSON object.
 *
 *   {"boards": 2, "square": [60, 300, 0.037], "update_seconds": 0.1, "each": [{"gain": 0.95}, {"power": 200}]}
 *
 * Keys: `boards`, `power`, `square` (low, high, period, duty, phase), `temperature`, `clock`, `reasons`, `processes`
 * (numbers), `uuid` and the other texts, and every setting of board.c; in `each`, the same for one board after another.
 * What cannot be understood is told on stderr and makes nvmlInit fail: a test must not run on defaults by accident.
 */
#include "simulator.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { const char *at; int first, last; int depth; } Reader;   /* applies to boards first..last */

static int skip_space(Reader *reader) {
    reader->at += strspn(reader->at, " \t\r\n");
    return *reader->at;
}

static int take(Reader *reader, char wanted) {
    if (skip_space(reader) != wanted) return 0;
    reader->at++;
    return 1;
}

static int take_text(Reader *reader, char *text, size_t room) {
    if (!take(reader, '"')) return 0;
    size_t length = strcspn(reader->at, "\"\\");
    if (reader->at[length] != '"' || length >= room) return 0;
    memcpy(text, reader->at, length);
    text[length] = '\0';
    reader->at += length + 1;
    return 1;
}

static int take_number(Reader *reader, double *number) {
    skip_space(reader);
    if (!strncmp(reader->at, "true", 4)) return *number = 1, reader->at += 4, 1;
    if (!strncmp(reader->at, "false", 5)) return *number = 0, reader->at += 5, 1;
    char *end;
    *number = strtod(reader->at, &end);
    int found = end != reader->at;
    reader->at = end;
    return found;
}

static size_t take_numbers(Reader *reader, double *numbers, size_t room) {
    size_t count = 0;
    if (!take(reader, '[')) return take_number(reader, numbers) ? 1 : 0;
    if (take(reader, ']')) return 0;
    do {
        if (count == room || !take_number(reader, &numbers[count++])) return 0;
    } while (take(reader, ','));
    return take(reader, ']') ? count : 0;
}

static int set_power(Board *board, const char *key, const double *n, size_t count, double now) {
    if (!strcmp(key, "power") && count == 1 && n[0] >= 0) {
        history_clear(&board->history, now, n[0]);
        return OK;
    }
    if (strcmp(key, "square") || count < 3 || count > 5 || !(n[2] > 0)) return BAD_VALUE;
    history_clear(&board->history, now, n[0]);
    return history_add(&board->history, (Segment){.shape = SQUARE, .start = now, .low = n[0], .high = n[1],
        .period = n[2], .duty = count > 3 ? n[3] : 0.5, .phase = count > 4 ? n[4] : 0.0});
}

static int set_numbers(Board *board, const char *key, const double *n, size_t count, double now) {
    if (!strcmp(key, "power") || !strcmp(key, "square")) return set_power(board, key, n, count, now);
    if (!strcmp(key, "processes")) {
        board->process_count = 0;
        for (size_t i = 0; i < count; i++)
            board->processes[board->process_count++] = (Process){(unsigned)n[i], 0, 1u << 30};
        return OK;
    }
    double slope = count == 2 ? n[1] : 0.0;
    if (!strcmp(key, "temperature") && count) return board->temperature = (Line){n[0], slope, now}, OK;
    if (!strcmp(key, "clock") && count) return board->sm_clock = (Line){n[0], slope * n[0], now}, OK;
    if (!strcmp(key, "reasons") && count == 1) return board->reasons = (uint64_t)n[0], OK;
    return count == 1 ? board_set(board, key, n[0], now) : BAD_VALUE;
}

static int take_object(Reader *reader, double now);

static int take_each(Reader *reader, double now) {
    if (reader->depth > 1 || !take(reader, '[')) return BAD_VALUE;
    for (int i = reader->first; i <= reader->last; i++) {
        Reader one = {reader->at, i, i, reader->depth};
        int code = take_object(&one, now);
        reader->at = one.at;
        if (code != OK) return code;
        if (!take(reader, ',')) break;
    }
    return take(reader, ']') ? OK : BAD_VALUE;
}

static int take_value(Reader *reader, const char *key, double now) {
    char text[128];
    double numbers[PROCESSES];
    if (!strcmp(key, "each")) return take_each(reader, now);
    int is_text = skip_space(reader) == '"';
    if (is_text && !take_text(reader, text, sizeof text)) return BAD_VALUE;
    const char *before = reader->at;
    size_t count = is_text ? 0 : take_numbers(reader, numbers, PROCESSES);
    if (!is_text && reader->at == before) return BAD_VALUE;
    if (!strcmp(key, "boards") && reader->depth == 1)
        return count == 1 && (int)numbers[0] == reader->last + 1 ? OK : BAD_VALUE;
    for (int i = reader->first; i <= reader->last; i++) {
        int code = is_text ? board_set_text(&machine.boards[i], key, text)
                           : set_numbers(&machine.boards[i], key, numbers, count, now);
        if (code != OK) return code;
    }
    return OK;
}

static int take_object(Reader *reader, double now) {
    reader->depth++;
    if (!take(reader, '{')) return BAD_VALUE;
    if (take(reader, '}')) return OK;
    do {
        char key[64];
        if (!take_text(reader, key, sizeof key) || !take(reader, ':')) return BAD_VALUE;
        int code = take_value(reader, key, now);
        if (code != OK) {
            fprintf(stderr, "simulator: GREENADAPT_SIMULATOR: %s of \"%s\"\n",
                    code == BAD_NAME ? "unknown name" : "bad value", key);
            return code;
        }
    } while (take(reader, ','));
    return take(reader, '}') ? OK : BAD_VALUE;
}

/* How many boards the text asks for, before anything is applied to them. */
static int boards_of(const char *text) {
    const char *found = strstr(text, "\"boards\"");
    if (!found) return 1;
    Reader reader = {found + strlen("\"boards\""), 0, 0, 0};
    double number = -1;
    return take(&reader, ':') && take_number(&reader, &number) && number >= 0 && number <= BOARDS ? (int)number : -1;
}

static void fork_lock(void) { pthread_mutex_lock(&machine.lock); }
static void fork_unlock(void) { pthread_mutex_unlock(&machine.lock); }

__attribute__((constructor)) static void start(void) {
    pthread_atfork(fork_lock, fork_unlock, fork_unlock);
    const char *text = getenv("GREENADAPT_SIMULATOR");
    int boards = text ? boards_of(text) : 1;
    machine_reset(boards < 0 ? 0 : boards);
    if (!text) return;
    Reader reader = {text, 0, machine.board_count - 1, 0};
    machine.broken = boards < 0 || take_object(&reader, now_locked()) != OK || skip_space(&reader) != '\0';
    if (machine.broken) fprintf(stderr, "simulator: GREENADAPT_SIMULATOR cannot be understood: %s\n", text);
}
