/* A server of both programs by rpcgen and libtirpc, at a port of TCP, one of UDP and a local socket,
   whose path is the argument. Says the ports, and serves until it is killed. With a second
   argument it tells rpcbind of the TCP port. */

#include "common.h"

extern void every_prog_1(struct svc_req *, SVCXPRT *);
extern void kv_prog_1(struct svc_req *, SVCXPRT *);

/* Few keys, in alphabetical order as they come. */
static struct {
    char *key;
    value value;
} store[8];
static int stored;

static int find(char *name)
{
    for (int i = 0; i < stored; i++)
        if (strcmp(store[i].key, name) == 0)
            return i;
    return -1;
}

static void forget(int at)
{
    free(store[at].key);
    free(store[at].value.value_val);
    store[at] = store[--stored];
}

bool_t kv_null_1_svc(void *result, struct svc_req *call)
{
    return TRUE;
}

bool_t put_1_svc(key name, value given, kv_status *result, struct svc_req *call)
{
    int at = find(name);
    if (at >= 0)
        forget(at);
    *result = stored == 8 ? KV_FULL : KV_OK;
    if (*result == KV_OK) {
        store[stored].key = strdup(name);
        store[stored].value = given;
        store[stored].value.value_val = memcpy(malloc(given.value_len + 1), given.value_val, given.value_len);
        stored++;
    }
    return TRUE;
}

bool_t get_1_svc(key name, get_result *result, struct svc_req *call)
{
    int at = find(name);
    result->status = at < 0 ? KV_NOT_FOUND : KV_OK;
    if (at >= 0) {
        value *found = &result->get_result_u.found;
        *found = store[at].value;
        found->value_val = memcpy(malloc(found->value_len + 1), found->value_val, found->value_len);
    }
    return TRUE;
}

bool_t remove_1_svc(key name, bool_t *result, struct svc_req *call)
{
    int at = find(name);
    *result = at >= 0;
    if (at >= 0)
        forget(at);
    return TRUE;
}

bool_t list_1_svc(key start, entries *result, struct svc_req *call)
{
    *result = NULL;
    for (int i = 0; i < stored; i++) {
        if (strncmp(store[i].key, start, strlen(start)) != 0)
            continue;
        entry **last = result;
        while (*last && strcmp((*last)->name, store[i].key) < 0)
            last = &(*last)->next;
        entry *node = malloc(sizeof *node);
        *node = (entry){strdup(store[i].key), store[i].value.value_len, *last};
        *last = node;
    }
    return TRUE;
}

bool_t touch_1_svc(key name, void *result, struct svc_req *call)
{
    return TRUE;
}

bool_t mirror_1_svc(everything given, everything *result, struct svc_req *call)
{
    decode(result, encode(&given));
    return TRUE;
}

bool_t encoded_1_svc(everything given, octets *result, struct svc_req *call)
{
    result->octets_len = encode(&given);
    result->octets_val = memcpy(malloc(result->octets_len), memory, result->octets_len);
    return TRUE;
}

bool_t who_1_svc(caller *result, struct svc_req *call)
{
    memset(result, 0, sizeof *result);
    result->flavor = call->rq_cred.oa_flavor;
    if (result->flavor != AUTH_SYS) {
        result->machine = strdup("");
        return TRUE;
    }
    struct authunix_parms *sys = (struct authunix_parms *)call->rq_clntcred;
    result->machine = strdup(sys->aup_machname);
    result->uid = sys->aup_uid;
    result->gid = sys->aup_gid;
    result->gids.gids_len = sys->aup_len;
    result->gids.gids_val = calloc(sys->aup_len + 1, sizeof(u_int));
    for (u_int i = 0; i < sys->aup_len; i++)
        result->gids.gids_val[i] = sys->aup_gids[i];
    return TRUE;
}

bool_t fail_1_svc(void *result, struct svc_req *call)
{
    svcerr_systemerr(call->rq_xprt);
    return FALSE;
}

int every_prog_1_freeresult(SVCXPRT *transport, xdrproc_t codec, caddr_t result)
{
    xdr_free(codec, result);
    return 1;
}

int kv_prog_1_freeresult(SVCXPRT *transport, xdrproc_t codec, caddr_t result)
{
    xdr_free(codec, result);
    return 1;
}

static void serve(SVCXPRT *transport)
{
    CHECK(transport);
    CHECK(svc_reg(transport, EVERY_PROG, EVERY_V1, every_prog_1, NULL));
    CHECK(svc_reg(transport, KV_PROG, KV_V1, kv_prog_1, NULL));
}

static int port(int fd)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    CHECK(bind(fd, (struct sockaddr *)&at, length) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &length) == 0);
    return ntohs(at.sin_port);
}

static void tell_rpcbind(int tcp)
{
    char written[64];
    snprintf(written, sizeof written, "127.0.0.1.%d.%d", tcp >> 8, tcp & 255);
    struct netconfig *netid = getnetconfigent("tcp");
    struct netbuf *at = uaddr2taddr(netid, written);
    CHECK(rpcb_set(EVERY_PROG, EVERY_V1, netid, at));
}

int main(int count, char **arguments)
{
    int tcp = socket(AF_INET, SOCK_STREAM, 0);
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    int local = socket(AF_UNIX, SOCK_STREAM, 0);
    int ports[] = {port(tcp), port(udp)};
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    strncpy(at.sun_path, arguments[1], sizeof at.sun_path - 1);
    CHECK(bind(local, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(listen(tcp, 8) == 0 && listen(local, 8) == 0);
    serve(svc_vc_create(tcp, 0, 0));
    serve(svc_dg_create(udp, 0, 0));
    serve(svc_vc_create(local, 0, 0));
    if (count > 2)
        tell_rpcbind(ports[0]);
    printf("@127.0.0.1:%d\n@127.0.0.1:%d\n", ports[0], ports[1]);
    fflush(stdout);
    svc_run();
    return 1;
}
