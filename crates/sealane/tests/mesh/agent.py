"""Runs what the test posts, inside a service of a running cell, and answers what that prints."""

import contextlib
import errno
import hashlib
import io
import json
import os
import socket
import struct
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TIMEOUT = 20
STATE = {}


def dial(name, port, timeout=TIMEOUT):
    s = socket.create_connection((name, port), timeout=timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def read_all(s):
    pieces = []
    while piece := s.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def exchange(name, port, data=b"", finish=True):
    with dial(name, port) as s:
        s.sendall(data)
        if finish:
            s.shutdown(socket.SHUT_WR)
        return read_all(s)


def get(name, port=443):
    return exchange(name, port, b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", finish=False)


def attempt(what, act):
    """Prints `what: ok`, or the name of what was raised."""
    try:
        act()
    except Exception as error:
        print(f"{what}: {type(error).__name__}")
    else:
        print(f"{what}: ok")


def query(name, kind, domain=True):
    """A DNS query, by hand."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label)
    return struct.pack(">6H", 0x4242, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", kind, 1)


def resolver():
    with open("/etc/resolv.conf") as file:
        return next(line.split()[1] for line in file if line.startswith("nameserver"))


def summary(reply):
    """Code and number of answers."""
    return f"{struct.unpack('>H', reply[2:4])[0] & 15} {struct.unpack('>H', reply[6:8])[0]}"


def ask_udp(name, kind):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(TIMEOUT)
        s.sendto(query(name, kind), (resolver(), 53))
        return summary(s.recv(4096))


def ask_tcp(name, kind, pieces=1):
    message = query(name, kind)
    message = struct.pack(">H", len(message)) + message
    with dial(resolver(), 53) as s:
        for i in range(pieces):
            s.sendall(message[len(message) * i // pieces:len(message) * (i + 1) // pieces])
            time.sleep(0.01)
        length = struct.unpack(">H", s.recv(2))[0]
        reply = b""
        while len(reply) < length:
            reply += s.recv(length - len(reply))
        return summary(reply)


def in_background(name, act):
    def run():
        try:
            STATE[name] = act()
        except Exception as error:
            STATE[name] = type(error).__name__

    STATE.pop(name, None)
    threading.Thread(target=run, daemon=True).start()


def awaited(name):
    deadline = time.monotonic() + TIMEOUT
    while name not in STATE and time.monotonic() < deadline:
        time.sleep(0.02)
    return STATE.get(name, "nothing")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        code = self.rfile.read(int(self.headers["Content-Length"]))
        said, status = io.StringIO(), 200

        def say(*words):
            said.write(" ".join(map(str, words)) + "\n")

        try:
            scope = dict(globals(), print=say)
            # Helpers print where the code does.
            scope["attempt"] = type(attempt)(attempt.__code__, scope)
            exec(code, scope)
        except Exception:
            status = 500
            said.write(traceback.format_exc())
        body = said.getvalue().encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code="-", size="-"):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
