/* Client and server of libtirpc, as its manual pages have them, with its defaults.

   `peer server tcp|local PATH` says the port, and then a byte each time as many calls have been
   answered as the number that was read last says. `peer client tcp|local PLACE LENGTH CALLS` makes
   steps of so many calls each, one after the other: procedure 0 if LENGTH is 0, else an echo of a
   message as the survey makes and verifies them. It reads how many steps and the number of the
   first, and says when they began and ended. Both end with their input. */

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <rpc/rpc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM 0x20000e40
#define VERSION 1
#define ECHO 1
#define LENGTH_MAX (1 << 20)

#define CHECK(held)                                                            \
    do {                                                                       \
        if (!(held)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #held); \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

struct blob {
    char *at;
    u_int length;
};

static uint64_t out[LENGTH_MAX / 8], in[LENGTH_MAX / 8];

static bool_t xdr_blob(XDR *xdr, struct blob *blob)
{
    return xdr_bytes(xdr, &blob->at, &blob->length, LENGTH_MAX);
}

/* False: there is no more to be read. */
static int take(void *to, size_t length)
{
    ssize_t came = read(STDIN_FILENO, to, length);
    CHECK(came == 0 || came == (ssize_t)length);
    return came > 0;
}

static void say(const void *what, size_t length)
{
    CHECK(write(STDOUT_FILENO, what, length) == (ssize_t)length);
}

static struct netbuf address(int is_local, const char *place)
{
    static struct sockaddr_un local = {.sun_family = AF_UNIX};
    static struct sockaddr_in inet = {.sin_family = AF_INET};
    if (is_local) {
        strncpy(local.sun_path, place, sizeof local.sun_path - 1);
        return (struct netbuf){sizeof local, sizeof local, &local};
    }
    inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    inet.sin_port = htons(atoi(place));
    return (struct netbuf){sizeof inet, sizeof inet, &inet};
}

/* ---- the server ---- */

static uint64_t done;

static void answer(struct svc_req *call, SVCXPRT *transport)
{
    struct blob blob = {(char *)in, 0};
    if (call->rq_proc == NULLPROC) {
        CHECK(svc_sendreply(transport, (xdrproc_t)xdr_void, NULL));
    } else if (call->rq_proc == ECHO) {
        CHECK(svc_getargs(transport, (xdrproc_t)xdr_blob, (char *)&blob));
        CHECK(svc_sendreply(transport, (xdrproc_t)xdr_blob, (char *)&blob));
    } else {
        svcerr_noproc(transport);
    }
    done++;
}

static void serve(int is_local, const char *path)
{
    struct netbuf at = address(is_local, is_local ? path : "0");
    struct sockaddr_in bound;
    socklen_t length = sizeof bound;
    int fd = socket(is_local ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0 && bind(fd, at.buf, at.len) == 0 && listen(fd, 8) == 0);
    SVCXPRT *transport = svc_vc_create(fd, 0, 0);
    CHECK(transport && svc_reg(transport, PROGRAM, VERSION, answer, NULL));
    if (is_local)
        printf("-\n");
    else if (getsockname(fd, (struct sockaddr *)&bound, &length) == 0)
        printf("%d\n", ntohs(bound.sin_port));
    fflush(stdout);

    /* svc_run, and the input beside it. */
    uint64_t due = UINT64_MAX;
    for (;;) {
        int count = svc_max_pollfd;
        struct pollfd looked[count + 1];
        memcpy(looked, svc_pollfd, count * sizeof *looked);
        looked[count] = (struct pollfd){STDIN_FILENO, POLLIN, 0};
        int ready = poll(looked, count + 1, -1);
        CHECK(ready > 0);
        if (looked[count].revents) {
            if (!take(&due, sizeof due))
                exit(0);
            ready--;
        }
        if (ready > 0)
            svc_getreq_poll(looked, ready);
        if (done >= due) {
            say("", 1);
            due = UINT64_MAX;
        }
    }
}

/* ---- the client ---- */

#define PAGE 512
#define STEP 0x9E3779B97F4A7C15u
#define ODD 0xE7037ED1A0B428DBu
#define SALT 0x6E656172u

/* In words of eight bytes. */
static size_t words, stride;
static uint64_t page[PAGE];

static void prepare(size_t length)
{
    words = length / 8;
    stride = length <= 4096 ? 8 : 64;
    for (size_t i = 0; i < PAGE; i++)
        page[i] = i * ODD ^ STEP ^ SALT;
    for (size_t i = 0; i < words; i++)
        out[i] = page[i % PAGE];
}

static void stamp(uint64_t number)
{
    uint64_t next = number;
    for (size_t i = 0; i < words; i += stride, next += STEP)
        out[i] = next;
    out[words - 1] = number * ODD ^ SALT;
}

static int is_right(uint64_t number)
{
    uint64_t next = number;
    size_t last = words - 1;
    if (in[last] != (number * ODD ^ SALT))
        return 0;
    for (size_t at = 0; at < last; at += PAGE) {
        size_t part = last - at < PAGE ? last - at : PAGE;
        for (size_t i = 0; i < part; i += stride, next += STEP)
            page[i] = next;
        if (memcmp(page, in + at, part * 8) != 0)
            return 0;
    }
    return 1;
}

static void call(CLIENT *client, uint64_t number)
{
    const struct timeval within = {25, 0};
    if (words == 0) {
        CHECK(clnt_call(client, NULLPROC, (xdrproc_t)xdr_void, NULL, (xdrproc_t)xdr_void, NULL,
                        within) == RPC_SUCCESS);
        return;
    }
    struct blob sent = {(char *)out, words * 8}, came = {(char *)in, 0};
    stamp(number);
    CHECK(clnt_call(client, ECHO, (xdrproc_t)xdr_blob, (char *)&sent, (xdrproc_t)xdr_blob,
                    (char *)&came, within) == RPC_SUCCESS);
    CHECK(came.length == words * 8 && is_right(number));
}

static uint64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000u + at.tv_nsec;
}

static void ask(int is_local, const char *place, size_t length, int calls)
{
    struct netbuf at = address(is_local, place);
    int fd = socket(is_local ? AF_UNIX : AF_INET, SOCK_STREAM, 0), yes = 1;
    CHECK(fd >= 0 && connect(fd, at.buf, at.len) == 0);
    if (!is_local)
        CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0);
    CLIENT *client = clnt_vc_create(fd, &at, PROGRAM, VERSION, 0, 0);
    CHECK(client);
    CHECK(length <= LENGTH_MAX && length % 8 == 0);
    prepare(length);
    uint64_t order[2], times[2];
    while (take(order, sizeof order)) {
        times[0] = now();
        for (uint64_t i = 0; i < order[0]; i++)
            for (int j = 0; j < calls; j++)
                call(client, order[1] + i);
        times[1] = now();
        say(times, sizeof times);
    }
}

int main(int count, char **arguments)
{
    CHECK(count >= 4);
    int is_local = strcmp(arguments[2], "local") == 0;
    if (strcmp(arguments[1], "server") == 0) {
        serve(is_local, arguments[3]);
    } else {
        CHECK(count == 6);
        ask(is_local, arguments[3], atoi(arguments[4]), atoi(arguments[5]));
    }
    return 0;
}
