/* Read records (u32 little-endian length, then the bytes of a frame) from stdin, and print what each means as a line of
 * words, or "bad": texts in hex, floats as the hex of their 64 bits, so that nothing depends on how they are printed. */
#define SPIKESTREAM_IMPLEMENTATION
#include "../../clients/c/spikestream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void text(ssp_bytes bytes) {
    size_t i;
    printf(bytes.data ? " '" : " nil");
    for (i = 0; bytes.data && i < bytes.size; i++) printf("%02x", bytes.data[i]);
}

static void number(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    printf(" %016" PRIx64, bits);
}

static void value(ssp_bytes *rest) {
    ssp_value v;
    uint64_t i;
    ssp_next_value(rest, &v);
    switch (v.type) {
    case SSP_NIL: printf(" nil"); break;
    case SSP_BOOL: printf(v.i ? " true" : " false"); break;
    case SSP_INT: printf(" %" PRId64, v.i); break;
    case SSP_UINT: printf(" %" PRIu64, v.u); break;
    case SSP_FLOAT: number(v.f); break;
    case SSP_TEXT: case SSP_BIN: text(v.bytes); break;
    default:
        printf(" %s %" PRIu64, v.type == SSP_MAP ? "map" : "array", v.u);
        for (i = 0; i < v.u * (v.type == SSP_MAP ? 2 : 1); i++) value(rest);
    }
}

static void decisions(const ssp_message *m) {
    ssp_bytes rest = ssp_decisions(m), name;
    ssp_decision d;
    double score;
    while (ssp_next_decision(&rest, &d)) {
        printf(" | %" PRId64 " %" PRId64, d.start, d.stop);
        text(d.label);
        number(d.confidence);
        number(d.evidence);
        while (ssp_next_score(&d.rest, &name, &score) && d.scores--) {
            text(name);
            number(score);
        }
    }
}

static void rows(const ssp_message *m) {
    ssp_bytes content = m->content;
    size_t i;
    if (m->of != m->n) printf(" of %" PRIu64, m->of);
    if (m->kind == SSP_WEIGHTS) {
        text(m->layer);
        text(m->dtype);
        printf(" %" PRIu64 " shape", m->rev);
        for (i = 0; i < m->dims; i++) printf(" %" PRIu64, m->shape[i]);
        printf(" |");
        for (i = 0; i < m->n; i++) number(ssp_weight_at(m, i));
    }
    if (m->kind == SSP_EVENTS) printf(" size %" PRIu32 " %" PRIu32, m->width, m->height);
    for (i = 0; m->kind == SSP_EVENTS && i < m->n; i++) {
        ssp_event e = ssp_event_at(m, i);
        printf(" | %" PRId64 " %u %u %u", e.t, e.x, e.y, e.p);
    }
    for (i = 0; m->kind == SSP_SPIKES && i < m->n; i++) {
        ssp_spike s = ssp_spike_at(m, i);
        printf(" | %" PRId64 " %" PRId32, s.t, s.axon);
    }
    if (m->kind == SSP_SOUND) printf(" channels %" PRIu32 " |", m->channels);
    for (i = 0; m->kind == SSP_SOUND && i < m->n * m->channels; i++) number((double)ssp_sample_at(m, i));
    if (m->kind == SSP_DECISIONS) decisions(m);
    if (m->kind == SSP_STATS) value(&content);
    if (m->kind == SSP_GAP) text(m->why);
}

static void show(const ssp_message *m) {
    static const char *const names[] = {"bye", "hello", "error", "control", "events", "spikes", "sound", "decisions", "weights", "stats", "gap", "lost", "other"};
    printf("%s", names[m->kind]);
    if (m->kind == SSP_HELLO) {
        text(m->srv);
        text(m->epoch);
        printf(" %" PRIu64, m->max_frame);
    } else if (m->kind == SSP_ERROR) {
        text(m->code);
        text(m->what);
    } else if (m->kind == SSP_CONTROL) {
        text(m->op);
    } else if (m->kind == SSP_LOST) {
        text(m->topic);
        printf(" %" PRIu64 " %" PRIu64, m->seq, m->n);
        printf(m->rows == SSP_UNKNOWN ? " nil" : " %" PRIu64, m->rows);
        text(m->why);
    } else if (m->kind != SSP_BYE) {
        text(m->topic);
        printf(" %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " %" PRIu64, m->seq, m->published_ns, m->start, m->stop, m->n);
        rows(m);
    }
}

int main(void) {
    unsigned char head[4];
    while (fread(head, 1, 4, stdin) == 4) {
        size_t size = (size_t)ssp_little(head, 4), used;
        unsigned char *bytes = malloc(size ? size : 1); /* of exactly that size: a sanitizer sees every byte too many */
        ssp_message message;
        if (!bytes || fread(bytes, 1, size, stdin) != size) return 2;
        switch (ssp_read(bytes, size, SSP_MAX_FRAME_EVER, &used, &message)) {
        case SSP_OK: show(&message); break;
        case SSP_AGAIN: printf("again"); break;
        case SSP_BAD: printf("bad"); break;
        }
        putchar('\n');
        free(bytes);
    }
    return 0;
}
