"""A server of RPC with TLS that echoes: CERTIFICATE MODE ROOTS."""

import socket
import ssl
import struct
import sys
import threading


def words(*numbers):
    return struct.pack(">%dI" % len(numbers), *numbers)


def record(message):
    return words(0x80000000 | len(message)) + message


def receive(stream, length):
    data = b""
    while len(data) < length:
        part = stream.recv(length - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def message(stream):
    (mark,) = struct.unpack(">I", receive(stream, 4))
    assert mark >> 31
    return receive(stream, mark & 0x7FFFFFFF)


def serve(stream, context):
    question = message(stream)
    assert question[4:8] == words(0) and question[20:40] == words(0, 7, 0, 0, 0), question
    # The word for TLS, and not a byte of what follows.
    stream.sendall(record(question[:4] + words(1, 0, 0, 8) + b"STARTTLS" + words(0)))
    try:
        stream = context.wrap_socket(stream, server_side=True)
        while True:
            call = message(stream)
            results = call[40:] if call[20:24] == words(1) else b""
            stream.sendall(record(call[:4] + words(1, 0, 0, 0, 0) + results))
    except (EOFError, OSError):
        stream.close()


def main():
    certificate, mode, roots = sys.argv[1:4]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate + ".pem", certificate + ".key")
    if mode != "none":
        context.set_alpn_protocols(["h2"] if mode == "other" else ["sunrpc"])
    if mode == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if mode == "certificate":
        context.load_verify_locations(roots)
        context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))
    print("@" + str(listener.getsockname()[1]), flush=True)
    while True:
        stream, _ = listener.accept()
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(stream, context), daemon=True).start()


main()
