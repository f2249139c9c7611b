/* A client of both programs by rpcgen and libtirpc: `client tcp|udp PORT`, `client local PATH`, or
   `client rpcbind HOST`, which asks rpcbind. Reads values of `everything` in hexadecimal digits, a
   line each, and sends them there and back. Ends with 0 if everything was as it must be. */

#include "common.h"

static CLIENT *connected(const char *how, const char *where)
{
    if (strcmp(how, "rpcbind") == 0)
        return clnt_create(where, EVERY_PROG, EVERY_V1, "tcp");
    struct sockaddr_in inet = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons(atoi(where)),
    };
    struct netbuf at = {sizeof inet, sizeof inet, &inet};
    int type = strcmp(how, "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM;
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    if (strcmp(how, "local") == 0) {
        strncpy(local.sun_path, where, sizeof local.sun_path - 1);
        at = (struct netbuf){sizeof local, sizeof local, &local};
    }
    int fd = socket(strcmp(how, "local") == 0 ? AF_UNIX : AF_INET, type, 0);
    CHECK(fd >= 0);
    if (type == SOCK_DGRAM)
        return clnt_dg_create(fd, &at, EVERY_PROG, EVERY_V1, 0, 0);
    CHECK(connect(fd, at.buf, at.len) == 0);
    return clnt_vc_create(fd, &at, EVERY_PROG, EVERY_V1, 0, 0);
}

/* Sends what lies in `memory`, and gets the same: once as a value, once as the server's bytes. */
static void there_and_back(CLIENT *client, u_int length)
{
    static char sent[sizeof memory];
    everything value, mirrored = {0};
    octets written = {0};
    memcpy(sent, memory, length);
    decode(&value, length);
    CHECK(encode(&value) == length && memcmp(memory, sent, length) == 0);
    CHECK(mirror_1(value, &mirrored, client) == RPC_SUCCESS);
    CHECK(encode(&mirrored) == length && memcmp(memory, sent, length) == 0);
    CHECK(encoded_1(value, &written, client) == RPC_SUCCESS);
    CHECK(written.octets_len == length && memcmp(written.octets_val, sent, length) == 0);
    unpack(&value);
    unpack(&mirrored);
    xdr_free((xdrproc_t)xdr_octets, (char *)&written);
}

static void values(CLIENT *client)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t digits;
    int count = 0;
    while ((digits = getline(&line, &room, stdin)) > 1) {
        u_int length = digits / 2, byte;
        for (u_int i = 0; i < length; i++) {
            CHECK(sscanf(line + 2 * i, "%2x", &byte) == 1);
            memory[i] = byte;
        }
        there_and_back(client, length);
        count++;
    }
    free(line);
    printf("@%d\n", count);
}

/* A value that is written here, and not from anybody's bytes; the test has the same. */
static void own(CLIENT *client)
{
    node second = {"zwei", NULL}, first = {"eins", &second};
    tree leaf = {-1, NULL, NULL}, root = {7, NULL, &leaf};
    point here = {-2, -3};
    int column[] = {5, 6};
    char letter = '!';
    u_char letters[] = {0, 255};
    odd strange = {
        .bare = 4294967295u,
        .low = -32768,
        .ulow = 65535,
        .letter = 'A',
        .byte = 255,
        .broad = -2147483647L - 1,
        .ubroad = 4294967295ul,
        .bytes = {2, letters},
        .pairs = {-1, 1},
        .perhaps = &letter,
        .when = WINTER,
        .octal = {7, 8, 9},
    };
    everything value = {
        .small = -2147483647 - 1,
        .natural = 4294967295u,
        .paint = RED,
        .sure = TRUE,
        .large = -9223372036854775807 - 1,
        .huge = 18446744073709551615u,
        .single = 1.5f,
        .twice = -0.1,
        .raw = {1, 2, 3},
        .sum = "12345",
        .any = {6, "abcdef"},
        .some = {0, NULL},
        .text = "gr\303\274n",
        .name = "",
        .row = {1, -1, 2, -2},
        .column = {2, column},
        .corners = {{1, 2}, {3, 4}},
        .end = {BLUE, .outcome_u.why = "so"},
        .chosen = {2, .choice_u.many = 1},
        .maybe = {TRUE, .perhaps_u.value = 2.25},
        .heavy = {4294967295u, .weight_u.kilograms = 0.25f},
        .here = &here,
        .list = &first,
        .branches = &root,
        .odds = &strange,
    };
    u_int length = encode(&value);
    printf("@");
    for (u_int i = 0; i < length; i++)
        printf("%02x", memory[i] & 255);
    printf("\n");
    there_and_back(client, length);
}

static void who(CLIENT *client)
{
    caller seen = {0};
    gid_t groups[] = {31, 32, 33};
    CHECK(who_1(&seen, client) == RPC_SUCCESS);
    CHECK(seen.flavor == AUTH_NONE);
    xdr_free((xdrproc_t)xdr_caller, (char *)&seen);
    auth_destroy(client->cl_auth);
    client->cl_auth = authunix_create("a machine", 11, 22, 3, groups);
    memset(&seen, 0, sizeof seen);
    CHECK(who_1(&seen, client) == RPC_SUCCESS);
    CHECK(seen.flavor == AUTH_SYS && strcmp(seen.machine, "a machine") == 0);
    CHECK(seen.uid == 11 && seen.gid == 22 && seen.gids.gids_len == 3);
    CHECK(memcmp(seen.gids.gids_val, groups, sizeof groups) == 0);
    xdr_free((xdrproc_t)xdr_caller, (char *)&seen);
}

/* Each refusal is told for what it is. */
static void refusals(CLIENT *client)
{
    struct timeval limit = {10, 0};
    xdrproc_t nothing = (xdrproc_t)xdr_void;
    everything value;
    CHECK(fail_1(NULL, client) == RPC_SYSTEMERROR);
    CHECK(clnt_call(client, 99, nothing, NULL, nothing, NULL, limit) == RPC_PROCUNAVAIL);
    CHECK(clnt_call(client, MIRROR, nothing, NULL, (xdrproc_t)xdr_everything, (char *)&value, limit) == RPC_CANTDECODEARGS);
    rpcvers_t version = 9;
    clnt_control(client, CLSET_VERS, (char *)&version);
    CHECK(clnt_call(client, 0, nothing, NULL, nothing, NULL, limit) == RPC_PROGVERSMISMATCH);
    struct rpc_err told;
    clnt_geterr(client, &told);
    CHECK(told.re_vers.low == 1 && told.re_vers.high == 1);
    rpcprog_t program = 0x2fffffff;
    clnt_control(client, CLSET_PROG, (char *)&program);
    CHECK(clnt_call(client, 0, nothing, NULL, nothing, NULL, limit) == RPC_PROGUNAVAIL);
}

static void keys(CLIENT *client)
{
    value given = {4, "tea!"};
    kv_status status;
    get_result found = {0};
    entries list = NULL;
    bool_t removed;
    rpcprog_t program = KV_PROG;
    rpcvers_t version = KV_V1;
    clnt_control(client, CLSET_PROG, (char *)&program);
    clnt_control(client, CLSET_VERS, (char *)&version);
    CHECK(kv_null_1(NULL, client) == RPC_SUCCESS);
    CHECK(put_1("c/two", given, &status, client) == RPC_SUCCESS && status == KV_OK);
    given.value_len = 3;
    CHECK(put_1("c/one", given, &status, client) == RPC_SUCCESS && status == KV_OK);
    CHECK(get_1("c/two", &found, client) == RPC_SUCCESS && found.status == KV_OK);
    CHECK(found.get_result_u.found.value_len == 4);
    CHECK(memcmp(found.get_result_u.found.value_val, "tea!", 4) == 0);
    xdr_free((xdrproc_t)xdr_get_result, (char *)&found);
    CHECK(get_1("c/three", &found, client) == RPC_SUCCESS && found.status == KV_NOT_FOUND);
    CHECK(list_1("c/", &list, client) == RPC_SUCCESS);
    CHECK(strcmp(list->name, "c/one") == 0 && list->length == 3);
    CHECK(strcmp(list->next->name, "c/two") == 0 && list->next->length == 4 && !list->next->next);
    xdr_free((xdrproc_t)xdr_entries, (char *)&list);
    CHECK(touch_1("c/one", NULL, client) == RPC_SUCCESS);
    CHECK(remove_1("c/one", &removed, client) == RPC_SUCCESS && removed);
    CHECK(remove_1("c/one", &removed, client) == RPC_SUCCESS && !removed);
    CHECK(remove_1("c/two", &removed, client) == RPC_SUCCESS && removed);
}

int main(int count, char **arguments)
{
    CHECK(count == 3);
    CLIENT *client = connected(arguments[1], arguments[2]);
    if (!client)
        clnt_pcreateerror(arguments[1]);
    CHECK(client);
    own(client);
    values(client);
    who(client);
    refusals(client);
    keys(client);
    return 0;
}
