/* The other side of a test of RPCSEC_GSS: libtirpc with Kerberos 5.
 *   peer server             serves the test's program over TCP, and says at which port
 *   peer client PORT        calls it, with each service, and says what it hears */
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <rpc/rpc.h>
#include <rpc/rpcsec_gss.h>

#define PROGRAM 0x20000077
#define ECHO 1
#define WHO 2
#define NAME "test@localhost"

static bool_t xdr_data(XDR *xdrs, struct netbuf *data)
{
    return xdr_bytes(xdrs, (char **)&data->buf, &data->len, ~0u);
}

static void dispatch(struct svc_req *call, SVCXPRT *transport)
{
    static char who[512], *said = who;
    struct netbuf data = { 0 };
    rpc_gss_rawcred_t *raw = NULL;

    if (call->rq_proc == NULLPROC) {
        svc_sendreply(transport, (xdrproc_t)xdr_void, NULL);
        return;
    }
    if (call->rq_cred.oa_flavor != RPCSEC_GSS || !rpc_gss_getcred(call, &raw, NULL, NULL)) {
        svcerr_auth(transport, AUTH_TOOWEAK);
        return;
    }
    switch (call->rq_proc) {
    case ECHO:
        if (!svc_getargs(transport, (xdrproc_t)xdr_data, (caddr_t)&data)) {
            svcerr_decode(transport);
            return;
        }
        svc_sendreply(transport, (xdrproc_t)xdr_data, (caddr_t)&data);
        svc_freeargs(transport, (xdrproc_t)xdr_data, (caddr_t)&data);
        return;
    case WHO:
        snprintf(who, sizeof who, "%.*s %d", (int)raw->client_principal->len,
                 raw->client_principal->name, (int)raw->service);
        svc_sendreply(transport, (xdrproc_t)xdr_wrapstring, (caddr_t)&said);
        return;
    default:
        svcerr_noproc(transport);
    }
}

static int serve(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    SVCXPRT *transport;

    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 9)
        || getsockname(listener, (struct sockaddr *)&at, &len))
        return 3;
    if (!rpc_gss_set_svc_name(NAME, "kerberos_v5", 0, PROGRAM, 1)) {
        fprintf(stderr, "no name for the server\n");
        return 4;
    }
    transport = svc_vc_create(listener, 0, 0);
    if (!transport || !svc_reg(transport, PROGRAM, 1, dispatch, NULL))
        return 5;
    printf("@%d\n", ntohs(at.sin_port));
    fflush(stdout);
    svc_run();
    return 6;
}

static int call_with(int port, rpc_gss_service_t service)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval limit = { 20, 0 };
    struct netbuf sent, got, address = { sizeof to, sizeof to, &to };
    unsigned lens[] = { 0, 1, 5, 1000, 60000 };
    char *who = NULL;
    CLIENT *client;
    int at, stream = socket(AF_INET, SOCK_STREAM, 0);
    rpc_gss_options_ret_t made;

    to.sin_port = htons(port);
    if (connect(stream, (struct sockaddr *)&to, sizeof to))
        return 3;
    client = clnt_vc_create(stream, &address, PROGRAM, 1, 0, 0);
    if (!client)
        return 4;
    client->cl_auth = rpc_gss_seccreate(client, NAME, "kerberos_v5", service, NULL, NULL, &made);
    if (!client->cl_auth) {
        fprintf(stderr, "no context: %x %x\n", made.major_status, made.minor_status);
        return 5;
    }
    for (at = 0; at < 5; at++) {
        memset(&got, 0, sizeof got);
        sent.len = lens[at];
        sent.buf = malloc(sent.len + 1);
        memset(sent.buf, 'a' + at, sent.len);
        if (clnt_call(client, ECHO, (xdrproc_t)xdr_data, (caddr_t)&sent, (xdrproc_t)xdr_data,
                      (caddr_t)&got, limit)) {
            clnt_perror(client, "echo");
            return 6;
        }
        if (got.len != sent.len || memcmp(got.buf, sent.buf, sent.len))
            return 7;
    }
    if (clnt_call(client, WHO, (xdrproc_t)xdr_void, NULL, (xdrproc_t)xdr_wrapstring,
                  (caddr_t)&who, limit)) {
        clnt_perror(client, "who");
        return 8;
    }
    printf("@%s\n", who);
    fflush(stdout);
    auth_destroy(client->cl_auth);
    client->cl_auth = authnone_create();
    clnt_destroy(client);
    return 0;
}

int main(int count, char **arguments)
{
    rpc_gss_service_t services[] = { rpcsec_gss_svc_none, rpcsec_gss_svc_integrity,
                                     rpcsec_gss_svc_privacy };
    int at, failed;

    if (count == 2)
        return serve();
    for (at = 0; at < 3; at++) {
        failed = call_with(atoi(arguments[2]), services[at]);
        if (failed)
            return failed;
    }
    return 0;
}
