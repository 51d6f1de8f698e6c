/* Read what a spikestream server publishes, in C99: one file, no dependencies. MIT licence.
 *
 * In exactly one source file, before including it:
 *
 *     #define SPIKESTREAM_IMPLEMENTATION
 *     #include "spikestream.h"
 *
 * Speaks SSP/1, which docs/wire.md specifies. The reader has no memory of its own and touches no socket: give it the
 * bytes as they come, and it says what stands at their beginning. Nothing is copied: a message points into your bytes.
 *
 *     ssp_message message;
 *     size_t used;
 *     switch (ssp_read(bytes, length, limit, &used, &message)) {
 *     case SSP_AGAIN: break;                  // the frame is not complete yet: `used` is how many bytes it takes, 0 if unknown
 *     case SSP_BAD: fail(message.error);      // not the protocol: close the connection
 *     case SSP_OK: handle(&message); skip(used);
 *     }
 *
 * subscribe.c in this folder is a whole client with POSIX sockets.
 */
#ifndef SPIKESTREAM_H
#define SPIKESTREAM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SSP_VERSION = 1 };
/* Bytes of a frame: before the greeting, and the most that a server may announce in `max_frame`. */
enum { SSP_MAX_FRAME_FIRST = 64 << 10, SSP_MAX_FRAME_EVER = 16 << 20 };

#define SSP_UNKNOWN UINT64_MAX

typedef enum { SSP_OK, SSP_AGAIN, SSP_BAD } ssp_status;

typedef enum {
    SSP_BYE,       /* nothing follows */
    SSP_HELLO,     /* srv, epoch, max_frame */
    SSP_ERROR,     /* code, what: the server is about to close */
    SSP_CONTROL,   /* another `op`, which `op` names; id where it has one */
    SSP_EVENTS,    /* ssp_event_at; width and height in pixels, or 0: x and y may lie outside, as in their recording */
    SSP_SPIKES,    /* ssp_spike_at */
    SSP_SOUND,     /* ssp_sample_at, channels */
    SSP_DECISIONS, /* ssp_decisions, ssp_next_decision */
    SSP_WEIGHTS,   /* ssp_weight_at; layer, dtype, rev, dims, shape */
    SSP_STATS,     /* content is a map */
    SSP_GAP,       /* the sensor lost [start, stop); why */
    SSP_LOST,      /* this subscriber does not get n messages of the topic, from number seq on, with rows; why */
    SSP_OTHER      /* a kind of data that this reader does not know: count its number */
} ssp_kind;

/* Bytes that are not ended by a 0; data is NULL where there are none. */
typedef struct {
    const unsigned char *data;
    size_t size;
} ssp_bytes;

typedef struct {
    ssp_kind kind;
    const char *error;     /* what is wrong, after SSP_BAD */
    ssp_bytes topic;       /* UTF-8, as all texts */
    uint64_t seq;          /* number of the message within its topic and epoch */
    uint64_t published_ns; /* unix ns */
    int64_t start, stop;   /* stream time it covers, µs, half-open */
    uint64_t n;            /* rows; of SSP_LOST, messages */
    uint64_t rows;         /* of SSP_LOST; SSP_UNKNOWN where nobody knows */
    uint64_t of;           /* rows there were before those asked for were chosen; n where all are here */
    uint64_t rev;          /* of SSP_WEIGHTS: how often they have changed */
    uint64_t shape[8];     /* and their sizes, of which there are dims */
    uint32_t dims;
    uint32_t width, height, channels;
    uint64_t id, max_frame;
    ssp_bytes op, srv, epoch, code, what, why, layer, dtype;
    ssp_bytes content; /* `d`: the rows of a bin, or the msgpack of what else it is */
} ssp_message;

typedef struct {
    int64_t t; /* µs */
    uint16_t x, y;
    uint8_t p; /* 1 is ON, brighter */
} ssp_event;

typedef struct {
    int64_t t; /* µs */
    int32_t axon;
} ssp_spike;

typedef struct {
    int64_t start, stop; /* the window decided upon, µs */
    ssp_bytes label;     /* data is NULL: unknown */
    double confidence, evidence;
    uint64_t scores; /* how many; ssp_next_score reads them from `rest` */
    ssp_bytes rest;
} ssp_decision;

/* Say what frame `bytes` begin with, of `limit` bytes at most (see the two bounds above, and `max_frame`). */
ssp_status ssp_read(const unsigned char *bytes, size_t size, size_t limit, size_t *used, ssp_message *message);

/* Row i < n of a message of its kind; sample i < n * channels of sound. */
ssp_event ssp_event_at(const ssp_message *message, size_t i);
ssp_spike ssp_spike_at(const ssp_message *message, size_t i);
float ssp_sample_at(const ssp_message *message, size_t i);
double ssp_weight_at(const ssp_message *message, size_t i);

/* Walk through decisions: `rest` begins as ssp_decisions(message); 1 as long as there was one more. Walk scores so too. */
ssp_bytes ssp_decisions(const ssp_message *message);
int ssp_next_decision(ssp_bytes *rest, ssp_decision *decision);
int ssp_next_score(ssp_bytes *rest, ssp_bytes *name, double *score);

/* Write a frame to be sent into `out` of `room` bytes; return its length, or 0 where it does not fit.
 * `token` and `policy` may be NULL. The greeting may be answered once SSP_HELLO was read, and subscribed to then. */
size_t ssp_write_hello(unsigned char *out, size_t room, const char *client, const char *token);
size_t ssp_write_subscribe(unsigned char *out, size_t room, uint32_t id, const char *const *topics, size_t n, const char *policy);
size_t ssp_write_bye(unsigned char *out, size_t room);

/* Begin at a msgpack value and walk it; these read one value and move `rest` behind it. 0: it is something else. */
typedef enum { SSP_NIL, SSP_BOOL, SSP_INT, SSP_UINT, SSP_FLOAT, SSP_TEXT, SSP_BIN, SSP_ARRAY, SSP_MAP } ssp_type;
typedef struct {
    ssp_type type;
    int64_t i;       /* SSP_INT (negative), SSP_BOOL */
    uint64_t u;      /* SSP_UINT; elements of an array, pairs of a map: they follow */
    double f;        /* any number */
    ssp_bytes bytes; /* SSP_TEXT, SSP_BIN */
} ssp_value;
int ssp_next_value(ssp_bytes *rest, ssp_value *value);
/* Move `rest` behind one value and all that is in it. */
int ssp_skip_value(ssp_bytes *rest);

#ifdef __cplusplus
}
#endif
#endif /* SPIKESTREAM_H */

#ifdef SPIKESTREAM_IMPLEMENTATION
#ifndef SPIKESTREAM_IMPLEMENTED
#define SPIKESTREAM_IMPLEMENTED

#include <math.h>
#include <string.h>

enum { SSP_MOST_ELEMENTS = 1 << 16, SSP_MOST_CONTAINERS = 1 << 16, SSP_MOST_DEPTH = 64, SSP_MOST_CHANNELS = 1024 };

static uint64_t ssp_big(const unsigned char *at, size_t size) {
    uint64_t value = 0;
    size_t i;
    for (i = 0; i < size; i++) value = value << 8 | at[i];
    return value;
}

static uint64_t ssp_little(const unsigned char *at, size_t size) {
    uint64_t value = 0;
    while (size--) value = value << 8 | at[size];
    return value;
}

/* Two's complement, without a conversion that C leaves to the implementation. */
static int64_t ssp_signed(uint64_t value, size_t size) {
    uint64_t sign = (uint64_t)1 << (8 * size - 1);
    value &= sign | (sign - 1);
    return value < sign ? (int64_t)value : -(int64_t)((sign | (sign - 1)) - value) - 1;
}

static double ssp_double(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float ssp_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Take `size` bytes from the front of `rest`; NULL where there are not as many. */
static const unsigned char *ssp_take(ssp_bytes *rest, uint64_t size) {
    const unsigned char *at = rest->data;
    if (size > rest->size) return NULL;
    rest->data += (size_t)size;
    rest->size -= (size_t)size;
    return at;
}

static int ssp_sized(ssp_bytes *rest, size_t bytes, uint64_t *value) {
    const unsigned char *at = ssp_take(rest, bytes);
    if (!at) return 0;
    *value = ssp_big(at, bytes);
    return 1;
}

static int ssp_blob(ssp_bytes *rest, ssp_value *value, ssp_type type, uint64_t size) {
    value->type = type;
    value->bytes.size = (size_t)size;
    value->bytes.data = ssp_take(rest, size);
    return value->bytes.data != NULL;
}

static int ssp_whole(ssp_value *value, int64_t number) {
    value->type = number < 0 ? SSP_INT : SSP_UINT;
    value->i = number;
    value->u = number < 0 ? 0 : (uint64_t)number;
    value->f = (double)number;
    return 1;
}

int ssp_next_value(ssp_bytes *rest, ssp_value *value) {
    const unsigned char *at = ssp_take(rest, 1);
    uint64_t n = 0;
    unsigned head;
    if (!at) return 0;
    head = *at;
    memset(value, 0, sizeof *value);
    if (head < 0x80) return ssp_whole(value, (int64_t)head);
    if (head >= 0xe0) return ssp_whole(value, (int64_t)head - 256);
    if (head < 0xa0) {
        value->type = head < 0x90 ? SSP_MAP : SSP_ARRAY;
        value->u = head & 15;
        return 1;
    }
    if (head < 0xc0) return ssp_blob(rest, value, SSP_TEXT, head & 31);
    switch (head) {
    case 0xc0: value->type = SSP_NIL; return 1;
    case 0xc2: case 0xc3: value->type = SSP_BOOL; value->i = (int64_t)(head & 1); return 1;
    case 0xc4: case 0xc5: case 0xc6: return ssp_sized(rest, (size_t)1 << (head - 0xc4), &n) && ssp_blob(rest, value, SSP_BIN, n);
    case 0xca:
        value->type = SSP_FLOAT;
        if (!ssp_sized(rest, 4, &n)) return 0;
        value->f = (double)ssp_float((uint32_t)n);
        return 1;
    case 0xcb:
        value->type = SSP_FLOAT;
        if (!ssp_sized(rest, 8, &n)) return 0;
        value->f = ssp_double(n);
        return 1;
    case 0xcc: case 0xcd: case 0xce: case 0xcf:
        value->type = SSP_UINT;
        if (!ssp_sized(rest, (size_t)1 << (head - 0xcc), &value->u)) return 0;
        value->f = (double)value->u;
        return 1;
    case 0xd0: case 0xd1: case 0xd2: case 0xd3:
        return ssp_sized(rest, (size_t)1 << (head - 0xd0), &n) && ssp_whole(value, ssp_signed(n, (size_t)1 << (head - 0xd0)));
    case 0xd9: case 0xda: case 0xdb: return ssp_sized(rest, (size_t)1 << (head - 0xd9), &n) && ssp_blob(rest, value, SSP_TEXT, n);
    case 0xdc: case 0xdd: value->type = SSP_ARRAY; return ssp_sized(rest, (size_t)2 << (head - 0xdc), &value->u);
    case 0xde: case 0xdf: value->type = SSP_MAP; return ssp_sized(rest, (size_t)2 << (head - 0xde), &value->u);
    default: return 0; /* ext types and the byte that msgpack never uses */
    }
}

/* Well-formed UTF-8 and nothing else: no overlong forms, no surrogates, nothing beyond U+10FFFF (Unicode, table 3-7). */
static int ssp_utf8(ssp_bytes text) {
    size_t i = 0;
    while (i < text.size) {
        unsigned a = text.data[i++], low = 0x80, high = 0xbf;
        int more = a < 0x80 ? 0 : a < 0xc2 ? -1 : a < 0xe0 ? 1 : a < 0xf0 ? 2 : a < 0xf5 ? 3 : -1;
        if (more < 0) return 0;
        if (a == 0xe0) low = 0xa0;
        if (a == 0xed) high = 0x9f;
        if (a == 0xf0) low = 0x90;
        if (a == 0xf4) high = 0x8f;
        for (; more > 0; more--) {
            if (i >= text.size || text.data[i] < low || text.data[i] > high) return 0;
            i++;
            low = 0x80;
            high = 0xbf;
        }
    }
    return 1;
}

/* Check one value and all in it against the bounds of docs/wire.md, and move behind it. */
static int ssp_check(ssp_bytes *rest, int depth, uint32_t *containers) {
    ssp_value value;
    uint64_t i;
    if (!ssp_next_value(rest, &value)) return 0;
    if (value.type == SSP_TEXT) return value.bytes.size <= SSP_MOST_ELEMENTS && ssp_utf8(value.bytes);
    if (value.type != SSP_ARRAY && value.type != SSP_MAP) return 1;
    if (value.u > SSP_MOST_ELEMENTS || depth >= SSP_MOST_DEPTH || *containers == 0) return 0;
    --*containers;
    for (i = 0; i < value.u; i++) {
        if (value.type == SSP_MAP) {
            ssp_value key;
            if (!ssp_next_value(rest, &key) || key.type != SSP_TEXT) return 0;
            if (key.bytes.size > SSP_MOST_ELEMENTS || !ssp_utf8(key.bytes)) return 0;
        }
        if (!ssp_check(rest, depth + 1, containers)) return 0;
    }
    return 1;
}

int ssp_skip_value(ssp_bytes *rest) {
    uint32_t containers = SSP_MOST_CONTAINERS;
    return ssp_check(rest, 0, &containers);
}

/* Find what a map, whose head is already read, holds under a key: the last one counts, as in every msgpack reader. */
static int ssp_find(ssp_bytes pairs, uint64_t n, const char *key, ssp_value *value, ssp_bytes *whole) {
    int found = 0;
    while (n--) {
        ssp_value name, one;
        ssp_bytes from, rest;
        if (!ssp_next_value(&pairs, &name)) return 0;
        from = rest = pairs;
        if (!ssp_next_value(&rest, &one) || !ssp_skip_value(&pairs)) return 0;
        if (name.bytes.size != strlen(key) || memcmp(name.bytes.data, key, name.bytes.size) != 0) continue;
        *value = one;
        if (whole) {
            whole->data = from.data;
            whole->size = (size_t)(pairs.data - from.data);
        }
        found = 1;
    }
    return found;
}

typedef struct {
    ssp_bytes pairs;
    uint64_t n;
} ssp_map;

static int ssp_text(const ssp_map *map, const char *key, ssp_bytes *out) {
    ssp_value value;
    if (!ssp_find(map->pairs, map->n, key, &value, NULL) || value.type != SSP_TEXT) return 0;
    *out = value.bytes;
    return 1;
}

static int ssp_count(const ssp_map *map, const char *key, uint64_t *out) {
    ssp_value value;
    if (!ssp_find(map->pairs, map->n, key, &value, NULL) || value.type != SSP_UINT) return 0;
    *out = value.u;
    return 1;
}

/* Stream times lie within 2^62 µs of 0, so that sums and differences of two fit. */
static int ssp_time(const ssp_map *map, const char *key, int64_t *out) {
    const uint64_t most = (uint64_t)1 << 62;
    ssp_value value;
    if (!ssp_find(map->pairs, map->n, key, &value, NULL)) return 0;
    if (value.type == SSP_UINT && value.u <= most) *out = (int64_t)value.u;
    else if (value.type == SSP_INT && value.i >= -(int64_t)most) *out = value.i;
    else return 0;
    return 1;
}

static int ssp_number(const ssp_map *map, const char *key, double *out) {
    ssp_value value;
    if (!ssp_find(map->pairs, map->n, key, &value, NULL)) return 0;
    if (value.type != SSP_UINT && value.type != SSP_INT && value.type != SSP_FLOAT) return 0;
    *out = value.f;
    return 1;
}

static int ssp_is(ssp_bytes text, const char *word) {
    return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

static int ssp_open(ssp_bytes *rest, ssp_map *map) {
    ssp_value value;
    if (!ssp_next_value(rest, &value) || value.type != SSP_MAP) return 0;
    map->pairs = *rest;
    map->n = value.u;
    return 1;
}

static const char *ssp_rows(const ssp_map *map, ssp_message *message, uint64_t row) {
    ssp_value value;
    if (!ssp_find(map->pairs, map->n, "d", &value, NULL) || value.type != SSP_BIN) return "a message without its rows";
    if (message->n > SSP_MAX_FRAME_EVER || value.bytes.size != message->n * row) return "a message holds more or fewer rows than it says";
    message->content = value.bytes;
    return NULL;
}

static const char *ssp_size(const ssp_map *map, ssp_message *message) {
    ssp_value value, side;
    ssp_bytes whole;
    uint32_t *sides[2];
    int i;
    sides[0] = &message->width;
    sides[1] = &message->height;
    if (!ssp_find(map->pairs, map->n, "size", &value, &whole) || value.type == SSP_NIL) return NULL;
    ssp_next_value(&whole, &value);
    if (value.type != SSP_ARRAY || value.u != 2) return "a sensor size is not two numbers";
    for (i = 0; i < 2; i++) {
        if (!ssp_next_value(&whole, &side) || side.type != SSP_UINT || side.u < 1 || side.u > 65536) return "a sensor size is not two numbers";
        *sides[i] = (uint32_t)side.u;
    }
    return NULL;
}

static const char *ssp_events_of(const ssp_map *map, ssp_message *message) {
    const char *wrong = ssp_rows(map, message, 13);
    int64_t last = message->start;
    size_t i;
    if (wrong || (wrong = ssp_size(map, message)) != NULL) return wrong;
    for (i = 0; i < message->n; i++) {
        ssp_event event = ssp_event_at(message, i);
        if (event.p > 1) return "a polarity is neither 0 nor 1";
        if (event.t < last || event.t >= message->stop) return "an event is out of its place in time";
        last = event.t;
    }
    return NULL;
}

static const char *ssp_spikes_of(const ssp_map *map, ssp_message *message) {
    const char *wrong = ssp_rows(map, message, 12);
    int64_t last = message->start;
    size_t i;
    if (wrong) return wrong;
    for (i = 0; i < message->n; i++) {
        ssp_spike spike = ssp_spike_at(message, i);
        if (spike.axon < 0) return "an axon is negative";
        if (spike.t < last || spike.t >= message->stop) return "a spike is out of its place in time";
        last = spike.t;
    }
    return NULL;
}

static const char *ssp_sound_of(const ssp_map *map, ssp_message *message) {
    uint64_t channels;
    const char *wrong;
    size_t i;
    if (!ssp_count(map, "channels", &channels) || channels < 1 || channels > SSP_MOST_CHANNELS) return "sound without a number of channels";
    message->channels = (uint32_t)channels;
    if ((wrong = ssp_rows(map, message, 4 * channels)) != NULL) return wrong;
    for (i = 0; i < message->n * channels; i++)
        if (!isfinite(ssp_sample_at(message, i))) return "sound that is not finite";
    return NULL;
}

static int ssp_decision_of(const ssp_map *map, ssp_decision *decision) {
    ssp_value value;
    ssp_bytes whole;
    uint64_t i;
    memset(decision, 0, sizeof *decision);
    if (!ssp_find(map->pairs, map->n, "label", &value, NULL) || (value.type != SSP_TEXT && value.type != SSP_NIL)) return 0;
    decision->label = value.bytes;
    if (!ssp_time(map, "start", &decision->start) || !ssp_time(map, "stop", &decision->stop)) return 0;
    if (!ssp_number(map, "confidence", &decision->confidence) || !ssp_number(map, "evidence", &decision->evidence)) return 0;
    if (!ssp_find(map->pairs, map->n, "scores", &value, &whole) || value.type != SSP_MAP) return 0;
    ssp_next_value(&whole, &value);
    decision->scores = value.u;
    decision->rest = whole;
    for (i = 0; i < decision->scores; i++) {
        ssp_bytes name;
        double score;
        if (!ssp_next_score(&whole, &name, &score)) return 0;
    }
    return 1;
}

static const char *ssp_decisions_of(const ssp_map *map, ssp_message *message) {
    ssp_value value;
    ssp_bytes rest;
    ssp_decision decision;
    uint64_t i;
    if (!ssp_find(map->pairs, map->n, "d", &value, &message->content) || value.type != SSP_ARRAY || value.u != message->n) return "decisions without their rows";
    rest = ssp_decisions(message);
    for (i = 0; i < message->n; i++)
        if (!ssp_next_decision(&rest, &decision)) return "a decision lacks a key";
    return NULL;
}

static const struct {
    const char *name;
    uint64_t bytes;
} ssp_numbers[] = {{"float32", 4}, {"float64", 8}, {"int8", 1}, {"int16", 2}, {"int32", 4}, {"uint8", 1}};

static int ssp_number_of(ssp_bytes dtype) {
    int i;
    for (i = 0; i < 6; i++)
        if (ssp_is(dtype, ssp_numbers[i].name)) return i;
    return -1;
}

static const char *ssp_weights_of(const ssp_map *map, ssp_message *message) {
    ssp_value value, size;
    ssp_bytes whole;
    uint64_t product = 1;
    int number;
    if (!ssp_text(map, "layer", &message->layer) || !ssp_text(map, "dtype", &message->dtype)) return "weights without a layer or a type";
    if ((number = ssp_number_of(message->dtype)) < 0) return "weights of an unknown type";
    if (!ssp_find(map->pairs, map->n, "shape", &value, &whole) || value.type != SSP_ARRAY || value.u < 1 || value.u > 8) return "weights without a shape";
    if (message->n > SSP_MAX_FRAME_EVER) return "more weights than a frame holds";
    ssp_next_value(&whole, &value);
    for (message->dims = 0; message->dims < value.u; message->dims++) {
        if (!ssp_next_value(&whole, &size) || size.type != SSP_UINT || size.u > message->n) return "the shape of weights is not theirs";
        message->shape[message->dims] = size.u;
    }
    for (message->dims = 0; message->dims < value.u; message->dims++) {
        /* A size of 0 makes all others nothing; without one, the product may not pass n on its way. */
        product *= message->shape[message->dims];
        if (product > message->n) {
            uint32_t i;
            for (i = message->dims; i < value.u; i++)
                if (message->shape[i] == 0) product = 0;
            if (product) return "the shape of weights is not theirs";
        }
    }
    if (product != message->n) return "the shape of weights is not theirs";
    if (!ssp_count(map, "rev", &message->rev)) return "weights without a revision";
    return ssp_rows(map, message, ssp_numbers[number].bytes);
}

static const char *ssp_stats_of(const ssp_map *map, ssp_message *message) {
    ssp_value value;
    if (!ssp_find(map->pairs, map->n, "d", &value, &message->content) || value.type != SSP_MAP) return "stats hold no map";
    return NULL;
}

static const char *ssp_gap_of(const ssp_map *map, ssp_message *message) {
    return ssp_text(map, "why", &message->why) ? NULL : "a gap does not say why";
}

static const char *ssp_lost_of(const ssp_map *map, ssp_message *message) {
    uint64_t to;
    ssp_value rows;
    message->kind = SSP_LOST;
    if (!ssp_count(map, "from", &message->seq) || !ssp_count(map, "to", &to) || !ssp_count(map, "n", &message->n)) return "a gap lacks a number";
    if (message->n < 1 || to < message->seq || to - message->seq != message->n) return "a gap does not add up";
    message->rows = SSP_UNKNOWN;
    if (ssp_find(map->pairs, map->n, "rows", &rows, NULL) && !ssp_count(map, "rows", &message->rows)) return "a gap's rows are no number";
    return ssp_gap_of(map, message);
}

static int ssp_made_at(const ssp_map *map) {
    ssp_value value, one;
    ssp_bytes whole;
    int i;
    if (!ssp_find(map->pairs, map->n, "at", &value, &whole) || value.type == SSP_NIL) return 1;
    ssp_next_value(&whole, &value);
    if (value.type != SSP_ARRAY || value.u != 2) return 0;
    for (i = 0; i < 2; i++)
        if (!ssp_next_value(&whole, &one) || one.type != SSP_UINT || one.u >> 63) return 0;
    return 1;
}

static const char *ssp_data(const ssp_map *map, ssp_message *message) {
    static const struct {
        const char *name;
        ssp_kind kind;
        const char *(*read)(const ssp_map *, ssp_message *);
    } kinds[] = {
        {"events", SSP_EVENTS, ssp_events_of}, {"spikes", SSP_SPIKES, ssp_spikes_of}, {"sound", SSP_SOUND, ssp_sound_of},
        {"decisions", SSP_DECISIONS, ssp_decisions_of}, {"weights", SSP_WEIGHTS, ssp_weights_of}, {"stats", SSP_STATS, ssp_stats_of}, {"gap", SSP_GAP, ssp_gap_of},
    };
    ssp_bytes kind;
    ssp_value from;
    size_t i;
    if (!ssp_text(map, "k", &kind) || !ssp_text(map, "c", &message->topic)) return "a message without a kind or a topic";
    if (ssp_is(kind, "gap") && ssp_find(map->pairs, map->n, "from", &from, NULL)) return ssp_lost_of(map, message);
    if (!ssp_count(map, "s", &message->seq) || !ssp_count(map, "t", &message->published_ns) || !ssp_count(map, "n", &message->n)) return "a message lacks a number";
    if (!ssp_time(map, "t0", &message->start) || !ssp_time(map, "t1", &message->stop)) return "a message lacks a stream time";
    if (message->start > message->stop) return "a message runs backwards";
    message->of = message->n;
    if (ssp_find(map->pairs, map->n, "of", &from, NULL) && (!ssp_count(map, "of", &message->of) || message->of < message->n)) return "a message has more rows than it says";
    if (!ssp_made_at(map)) return "'at' is not two times";
    for (i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!ssp_is(kind, kinds[i].name)) continue;
        message->kind = kinds[i].kind;
        return kinds[i].read(map, message);
    }
    message->kind = SSP_OTHER;
    return NULL;
}

static const char *ssp_control(const ssp_map *map, ssp_message *message) {
    uint64_t version;
    if (!ssp_text(map, "op", &message->op)) return "a message is neither control nor data";
    message->kind = SSP_CONTROL;
    ssp_count(map, "id", &message->id);
    if (ssp_is(message->op, "error")) {
        message->kind = SSP_ERROR;
        ssp_text(map, "code", &message->code);
        ssp_text(map, "what", &message->what);
    } else if (ssp_is(message->op, "hello")) {
        message->kind = SSP_HELLO;
        if (!ssp_count(map, "v", &version) || version != SSP_VERSION) return "the server speaks another version";
        if (!ssp_text(map, "srv", &message->srv) || !ssp_text(map, "epoch", &message->epoch)) return "the greeting is none";
        if (!ssp_count(map, "max_frame", &message->max_frame) || message->max_frame < 1 || message->max_frame > SSP_MAX_FRAME_EVER) return "the greeting is none";
    }
    return NULL;
}

ssp_status ssp_read(const unsigned char *bytes, size_t size, size_t limit, size_t *used, ssp_message *message) {
    ssp_bytes payload;
    ssp_map map;
    ssp_value op;
    uint64_t length;
    memset(message, 0, sizeof *message);
    *used = 0;
    if (size < 4) return SSP_AGAIN;
    length = ssp_little(bytes, 4);
    message->error = "a frame is larger than it may be";
    if (length > limit) return SSP_BAD;
    *used = 4 + (size_t)length;
    if (size < *used) return SSP_AGAIN;
    payload.data = bytes + 4;
    payload.size = (size_t)length;
    message->kind = SSP_BYE;
    message->error = NULL;
    if (!length) return SSP_OK;
    message->error = "a frame holds no message";
    if (!ssp_skip_value(&payload) || payload.size) return SSP_BAD;
    payload.data = bytes + 4;
    payload.size = (size_t)length;
    if (!ssp_open(&payload, &map)) return SSP_BAD;
    if (ssp_find(map.pairs, map.n, "op", &op, NULL) && op.type != SSP_NIL) message->error = ssp_control(&map, message);
    else message->error = ssp_data(&map, message);
    return message->error ? SSP_BAD : SSP_OK;
}

ssp_event ssp_event_at(const ssp_message *message, size_t i) {
    const unsigned char *at = message->content.data + 13 * i;
    ssp_event event;
    event.t = ssp_signed(ssp_little(at, 8), 8);
    event.x = (uint16_t)ssp_little(at + 8, 2);
    event.y = (uint16_t)ssp_little(at + 10, 2);
    event.p = at[12];
    return event;
}

ssp_spike ssp_spike_at(const ssp_message *message, size_t i) {
    const unsigned char *at = message->content.data + 12 * i;
    ssp_spike spike;
    spike.t = ssp_signed(ssp_little(at, 8), 8);
    spike.axon = (int32_t)ssp_signed(ssp_little(at + 8, 4), 4);
    return spike;
}

float ssp_sample_at(const ssp_message *message, size_t i) {
    return ssp_float((uint32_t)ssp_little(message->content.data + 4 * i, 4));
}

double ssp_weight_at(const ssp_message *message, size_t i) {
    int number = ssp_number_of(message->dtype);
    size_t bytes = number < 0 ? 1 : (size_t)ssp_numbers[number].bytes;
    uint64_t bits = ssp_little(message->content.data + bytes * i, bytes);
    if (number == 0) return (double)ssp_float((uint32_t)bits);
    if (number == 1) return ssp_double(bits);
    return number == 5 ? (double)bits : (double)ssp_signed(bits, bytes);
}

ssp_bytes ssp_decisions(const ssp_message *message) {
    ssp_bytes rest = message->content;
    ssp_value value;
    ssp_next_value(&rest, &value);
    return rest;
}

int ssp_next_decision(ssp_bytes *rest, ssp_decision *decision) {
    ssp_bytes one = *rest;
    ssp_map map;
    if (!rest->size || !ssp_open(&one, &map) || !ssp_skip_value(rest)) return 0;
    return ssp_decision_of(&map, decision);
}

int ssp_next_score(ssp_bytes *rest, ssp_bytes *name, double *score) {
    ssp_value key, value;
    if (!rest->size || !ssp_next_value(rest, &key) || key.type != SSP_TEXT || !ssp_next_value(rest, &value)) return 0;
    if (value.type != SSP_UINT && value.type != SSP_INT && value.type != SSP_FLOAT) return 0;
    *name = key.bytes;
    *score = value.f;
    return 1;
}

/* Writing: a frame grows in `out`, and `at` beyond `room` says that it did not fit. */
typedef struct {
    unsigned char *out;
    size_t room, at;
} ssp_writer;

static void ssp_put(ssp_writer *writer, const void *bytes, size_t size) {
    if (writer->at + size <= writer->room) memcpy(writer->out + writer->at, bytes, size);
    writer->at += size;
}

static void ssp_put_head(ssp_writer *writer, unsigned head, uint64_t value, size_t bytes) {
    unsigned char made[9];
    size_t i;
    made[0] = (unsigned char)head;
    for (i = 0; i < bytes; i++) made[1 + i] = (unsigned char)(value >> 8 * (bytes - 1 - i) & 255);
    ssp_put(writer, made, 1 + bytes);
}

static void ssp_put_text(ssp_writer *writer, const char *text) {
    size_t size = strlen(text);
    if (size < 32) ssp_put_head(writer, 0xa0 | (unsigned)size, 0, 0);
    else ssp_put_head(writer, 0xda, size < 65536 ? size : 65535, 2);
    ssp_put(writer, text, size < 65536 ? size : writer->room);
}

static ssp_writer ssp_begin(unsigned char *out, size_t room, unsigned pairs, const char *op) {
    ssp_writer writer;
    writer.out = out;
    writer.room = room;
    writer.at = 4;
    ssp_put_head(&writer, 0x80 | pairs, 0, 0);
    ssp_put_text(&writer, "op");
    ssp_put_text(&writer, op);
    return writer;
}

static size_t ssp_end(ssp_writer *writer) {
    size_t size = writer->at - 4, i;
    if (writer->at > writer->room) return 0;
    for (i = 0; i < 4; i++) writer->out[i] = (unsigned char)(size >> 8 * i & 255);
    return writer->at;
}

size_t ssp_write_hello(unsigned char *out, size_t room, const char *client, const char *token) {
    ssp_writer writer = ssp_begin(out, room, token ? 4 : 3, "hello");
    ssp_put_text(&writer, "v");
    ssp_put_head(&writer, 0x91, 0, 0);
    ssp_put_head(&writer, SSP_VERSION, 0, 0);
    ssp_put_text(&writer, "client");
    ssp_put_text(&writer, client);
    if (token) {
        ssp_put_text(&writer, "token");
        ssp_put_text(&writer, token);
    }
    return ssp_end(&writer);
}

size_t ssp_write_subscribe(unsigned char *out, size_t room, uint32_t id, const char *const *topics, size_t n, const char *policy) {
    ssp_writer writer = ssp_begin(out, room, policy ? 4 : 3, "sub");
    size_t i;
    ssp_put_text(&writer, "id");
    ssp_put_head(&writer, 0xce, id, 4);
    ssp_put_text(&writer, "topics");
    ssp_put_head(&writer, 0xdc, n < 65536 ? n : 65535, 2);
    for (i = 0; i < n; i++) ssp_put_text(&writer, topics[i]);
    if (policy) {
        ssp_put_text(&writer, "policy");
        ssp_put_text(&writer, policy);
    }
    return ssp_end(&writer);
}

size_t ssp_write_bye(unsigned char *out, size_t room) {
    if (room < 4) return 0;
    memset(out, 0, 4);
    return 4;
}

#endif /* SPIKESTREAM_IMPLEMENTED */
#endif /* SPIKESTREAM_IMPLEMENTATION */
