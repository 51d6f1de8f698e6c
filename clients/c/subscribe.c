/* Print what a spikestream server publishes: subscribe [HOST [PORT [TOPIC...]]]
 *
 *     cc -std=c99 -O2 -o subscribe subscribe.c && ./subscribe 127.0.0.1 7077 main.readout.decisions
 *
 * Where SPIKESTREAM_TOKEN is set, it is the token that the server asks for. Ends with the server's bye, or with status 1
 * and a line on stderr where the connection breaks or the server refuses.
 */
#define _POSIX_C_SOURCE 200809L
#define SPIKESTREAM_IMPLEMENTATION
#include "spikestream.h"

#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int fail(const char *what) {
    fprintf(stderr, "subscribe: %s\n", what);
    return 1;
}

static int dial(const char *host, const char *port) {
    struct addrinfo wanted = {0}, *found, *one;
    int connection = -1;
    wanted.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host, port, &wanted, &found) != 0) return -1;
    for (one = found; one && connection < 0; one = one->ai_next) {
        connection = socket(one->ai_family, one->ai_socktype, one->ai_protocol);
        if (connection >= 0 && connect(connection, one->ai_addr, one->ai_addrlen) != 0) {
            close(connection);
            connection = -1;
        }
    }
    freeaddrinfo(found);
    return connection;
}

static int send_all(int connection, const unsigned char *bytes, size_t size) {
    while (size) {
        ssize_t sent = send(connection, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0) return 0;
        bytes += sent;
        size -= (size_t)sent;
    }
    return 1;
}

static void print_rows(const ssp_message *message) {
    ssp_bytes rest;
    ssp_decision decision;
    uint64_t i;
    if (message->kind == SSP_EVENTS && message->n) {
        ssp_event first = ssp_event_at(message, 0);
        printf("  first: %" PRId64 " us, x %u, y %u, %s\n", first.t, first.x, first.y, first.p ? "ON" : "OFF");
    } else if (message->kind == SSP_SPIKES && message->n) {
        ssp_spike first = ssp_spike_at(message, 0);
        printf("  first: %" PRId64 " us, axon %" PRId32 "\n", first.t, first.axon);
    } else if (message->kind == SSP_DECISIONS) {
        rest = ssp_decisions(message);
        for (i = 0; i < message->n && ssp_next_decision(&rest, &decision); i++) {
            const char *label = decision.label.data ? (const char *)decision.label.data : "unknown";
            int size = decision.label.data ? (int)decision.label.size : 7;
            printf("  %" PRId64 "..%" PRId64 " us: %.*s, %.0f %%\n", decision.start, decision.stop, size, label, 100 * decision.confidence);
        }
    }
}

static void print(const ssp_message *message) {
    printf("%.*s %" PRIu64 ": ", (int)message->topic.size, (const char *)message->topic.data, message->seq);
    if (message->kind == SSP_LOST && message->rows == SSP_UNKNOWN) printf("%" PRIu64 " messages were lost\n", message->n);
    else if (message->kind == SSP_LOST) printf("%" PRIu64 " messages with %" PRIu64 " rows were lost\n", message->n, message->rows);
    else printf("%" PRIu64 " rows of [%" PRId64 ", %" PRId64 ") us\n", message->n, message->start, message->stop);
    print_rows(message);
    fflush(stdout);
}

/* Answer the greeting and subscribe. */
static int begin(int connection, const char *const *topics, size_t n) {
    unsigned char out[4096];
    size_t size = ssp_write_hello(out, sizeof out, "subscribe.c", getenv("SPIKESTREAM_TOKEN"));
    size_t more = size ? ssp_write_subscribe(out + size, sizeof out - size, 1, topics, n, NULL) : 0;
    return more && send_all(connection, out, size + more);
}

/* Take what stands at the beginning of the buffer; 1: go on, 0: the end, -1: an error, which was told. */
static int handle(int connection, const ssp_message *message, size_t *limit, const char *const *topics, size_t n) {
    if (message->kind == SSP_BYE) return 0;
    if (message->kind == SSP_ERROR) {
        fprintf(stderr, "subscribe: the server says: %.*s\n", (int)message->what.size, (const char *)message->what.data);
        return -1;
    }
    if (message->kind == SSP_HELLO) {
        *limit = (size_t)message->max_frame;
        if (!begin(connection, topics, n)) {
            fail("the greeting cannot be answered");
            return -1;
        }
    } else if (message->kind != SSP_CONTROL) {
        print(message);
    }
    return 1;
}

static int follow(int connection, const char *const *topics, size_t n) {
    size_t room = 64 << 10, held = 0, limit = SSP_MAX_FRAME_FIRST, used, at;
    unsigned char *buffer = malloc(room), *larger;
    int going = 1;
    while (buffer && going == 1) {
        ssize_t got = recv(connection, buffer + held, room - held, 0);
        ssp_message message;
        ssp_status status = SSP_AGAIN;
        if (got <= 0) {
            fail("the server went away without a bye");
            going = -1;
            break;
        }
        held += (size_t)got;
        for (at = 0; going == 1 && (status = ssp_read(buffer + at, held - at, limit, &used, &message)) == SSP_OK; at += used)
            going = handle(connection, &message, &limit, topics, n);
        if (going == 1 && status == SSP_BAD) {
            fail(message.error);
            going = -1;
        }
        held -= at;
        memmove(buffer, buffer + at, held);
        if (going == 1 && used > room) { /* a frame larger than the buffer is on its way */
            larger = realloc(buffer, used);
            if (larger) {
                buffer = larger;
                room = used;
            } else {
                fail("out of memory");
                going = -1;
            }
        }
    }
    free(buffer);
    return going == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    static const char *everything[] = {"*"};
    const char *host = argc > 1 ? argv[1] : "127.0.0.1", *port = argc > 2 ? argv[2] : "7077";
    const char *const *topics = argc > 3 ? (const char *const *)(argv + 3) : everything;
    size_t n = argc > 3 ? (size_t)(argc - 3) : 1;
    int connection = dial(host, port), status;
    if (connection < 0) return fail("there is no server at this place");
    status = follow(connection, topics, n);
    close(connection);
    return status;
}
