"""Plain TCP services, one way of behaving for each port."""

import hashlib
import os
import socket
import struct
import sys
import threading


def echo(s):
    while piece := s.recv(65536):
        s.sendall(piece)


def digest(s):
    """Answers only after the caller has ended its side."""
    total, length = hashlib.sha256(), 0
    while piece := s.recv(65536):
        total.update(piece)
        length += len(piece)
    s.sendall(f"{length} {total.hexdigest()}".encode())


def speaks_first(s):
    s.sendall(b"220 ready\n")
    echo(s)


def source(s):
    """As many bytes as the caller asks for."""
    left = int(s.makefile("rb").readline())
    piece = bytes(range(256)) * 256
    while left > 0:
        s.sendall(piece[:left])
        left -= len(piece)


def resets(s):
    s.sendall(b"partial")
    s.recv(1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def ends_first(s):
    """Ends its side at once, and reads on: what it read is asked for at `asked`."""
    global READ
    s.sendall(b"whole")
    s.shutdown(socket.SHUT_WR)
    try:
        READ = "ended " + str(sum(len(piece) for piece in iter(lambda: s.recv(65536), b"")))
    except OSError as error:
        READ = type(error).__name__


def asked(s):
    s.sendall(READ.encode())


READ = "nothing"
WAYS = [echo, digest, speaks_first, source, resets, ends_first, asked]


def serve(listener, way):
    def answer(s):
        with s:
            try:
                way(s)
            except OSError:
                pass

    while True:
        s, _ = listener.accept()
        threading.Thread(target=answer, args=[s], daemon=True).start()


if __name__ == "__main__":
    ports = [int(port) for port in sys.argv[1:]]
    for port, way in zip(ports, WAYS):
        listener = socket.create_server(("0.0.0.0", port), backlog=512)
        threading.Thread(target=serve, args=[listener, way]).start()
