"""A client of RPC with TLS: PORT ROOTS MODE [CERTIFICATE]."""

import socket
import ssl
import struct
import sys

PROGRAM, ECHO, WHO, CERTIFICATE = 0x20000099, 1, 8, 11


def words(*numbers):
    return struct.pack(">%dI" % len(numbers), *numbers)


def record(message):
    return words(0x80000000 | len(message)) + message


def receive(stream, length):
    data = b""
    while len(data) < length:
        part = stream.recv(length - len(data))
        if not part:
            raise EOFError("the server has closed")
        data += part
    return data


def reply(stream):
    message = b""
    while True:
        (mark,) = struct.unpack(">I", receive(stream, 4))
        message += receive(stream, mark & 0x7FFFFFFF)
        if mark >> 31:
            return message


def call(stream, xid, procedure, arguments):
    stream.sendall(record(words(xid, 0, 2, PROGRAM, 1, procedure, 0, 0, 0, 0) + arguments))
    answer = reply(stream)
    assert answer[:24] == words(xid, 1, 0, 0, 0, 0), answer[:24]
    return answer[24:]


def main():
    port, roots, mode = sys.argv[1:4]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(roots)
    if mode != "none":
        context.set_alpn_protocols(["h2"] if mode == "other" else ["h2", "sunrpc"])
    if mode == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if mode == "certificate":
        context.load_cert_chain(sys.argv[4] + ".pem", sys.argv[4] + ".key")
    stream = socket.create_connection(("127.0.0.1", int(port)))
    stream.sendall(record(words(1, 0, 2, PROGRAM, 1, 0, 7, 0, 0, 0)))
    answer = reply(stream)
    assert answer == words(1, 1, 0, 0, 8) + b"STARTTLS" + words(0), answer
    try:
        stream = context.wrap_socket(stream, server_hostname="server.test")
        # A short one first: who is refused is to hear why.
        kind = struct.unpack(">I", call(stream, 2, WHO, b"")[:4])[0]
        data = bytes(range(256)) * 4096
        echoed = call(stream, 3, ECHO, words(len(data)) + data) == words(len(data)) + data
        shown = len(call(stream, 4, CERTIFICATE, b"")) - 4
        print("@", stream.version(), stream.selected_alpn_protocol(), echoed, kind, shown > 0)
    except (ssl.SSLError, OSError, EOFError) as error:
        print("@", type(error).__name__, error)


main()
