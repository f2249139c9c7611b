/* What client and server share: the codec of libtirpc over memory. */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "every.h"
#include "kv.h"

#define CHECK(held)                                                            \
    do {                                                                       \
        if (!(held)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #held); \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

/* Larger than any value of the tests; a datagram of libtirpc has 8800 bytes. */
static char memory[1 << 16];

/* The value as XDR, in `memory`. */
static u_int encode(everything *value)
{
    XDR to;
    xdrmem_create(&to, memory, sizeof memory, XDR_ENCODE);
    CHECK(xdr_everything(&to, value));
    return xdr_getpos(&to);
}

/* The value that `length` bytes of `memory` are, and nothing after it. */
static void decode(everything *value, u_int length)
{
    XDR from;
    memset(value, 0, sizeof *value);
    xdrmem_create(&from, memory, length, XDR_DECODE);
    CHECK(xdr_everything(&from, value));
    CHECK(xdr_getpos(&from) == length);
}

static void unpack(everything *value)
{
    xdr_free((xdrproc_t)xdr_everything, (char *)value);
}
