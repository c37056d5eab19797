"""The shop's catalog: items by name, kept in Redis.

PUT /items/NAME stores the request's body, GET /items/NAME gives it back, GET /healthz says whether
Redis answers. REDIS_ADDR (default redis:6379) says where Redis is, HOST and PORT (default
0.0.0.0 and 8080) where to listen.
"""

import json
import os
import re
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

ITEM_BYTES_MAX = 1024 * 1024
DISCARDED_BYTES_MAX = 16 * 1024 * 1024
NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
IDLE_SECONDS_MAX = 120
REDIS_SECONDS_MAX = 10
REDIS_LINE_BYTES_MAX = 64 * 1024


class RedisAway(Exception):
    """Redis cannot be reached, or stopped answering."""


class RedisRefused(Exception):
    """Redis answered with an error."""


class Redis:
    """One connection, speaking RESP (https://redis.io/docs/reference/protocol-spec)."""

    def __init__(self, address):
        try:
            self.socket = socket.create_connection(address, timeout=REDIS_SECONDS_MAX)
        except OSError as error:
            raise RedisAway(f"cannot reach redis at {address[0]}:{address[1]}: {error}") from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb")

    def close(self):
        self.reader.close()
        self.socket.close()

    def call(self, *words):
        request = [b"*%d\r\n" % len(words)]
        for word in words:
            request.append(b"$%d\r\n%s\r\n" % (len(word), word))
        try:
            self.socket.sendall(b"".join(request))
            return self.reply()
        except OSError as error:
            raise RedisAway(f"redis stopped answering: {error}") from error

    def reply(self):
        line = self.reader.readline(REDIS_LINE_BYTES_MAX)
        if not line.endswith(b"\r\n"):
            raise RedisAway("redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            raise RedisRefused(rest.decode("utf-8", "replace"))
        try:
            number = int(rest)
        except ValueError as error:
            raise RedisAway("redis does not speak RESP") from error
        if kind == b":":
            return number
        if kind != b"$":
            raise RedisAway("redis does not speak RESP")
        if number < 0:
            return None
        data = self.reader.read(number + 2)
        if len(data) != number + 2:
            raise RedisAway("redis closed the connection")
        return data[:-2]


class Pool(threading.local):
    """One connection for each thread, that is for each caller's connection."""

    connection = None

    def call(self, *words):
        """Calls Redis; a kept connection that has died meanwhile is replaced once.

        Only for what may be said twice, as SET and GET may.
        """
        fresh = self.connection is None
        try:
            return self.once(words)
        except RedisAway:
            if fresh:
                raise
            return self.once(words)

    def once(self, words):
        if self.connection is None:
            self.connection = Redis(redis_address())
        try:
            return self.connection.call(*words)
        except RedisAway:
            # What is half read must never answer the next question.
            self.drop()
            raise

    def drop(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


POOL = Pool()


def redis_address():
    text = os.environ.get("REDIS_ADDR", "redis:6379")
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        sys.exit(f"catalog: REDIS_ADDR is HOST:PORT, not {text!r}")
    return host.strip("[]"), int(port)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS_MAX
    # Head and body leave in one packet, without waiting for an acknowledgement in between.
    wbufsize = 64 * 1024
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path == "/healthz":
            return self.guarded(lambda: POOL.call(b"PING") and self.answer(200, {"status": "ok"}))
        self.with_item(self.get)

    def do_PUT(self):
        self.with_item(self.put)

    def get(self, name):
        item = POOL.call(b"GET", b"item:" + name)
        if item is None:
            return self.answer(404, {"error": f"there is no item {name.decode()!r}"})
        self.answer_bytes(200, "application/octet-stream", item)

    def put(self, name):
        item = self.body()
        if item is not None:
            POOL.call(b"SET", b"item:" + name, item)
            self.answer(200, {"stored": name.decode(), "bytes": len(item)})

    def with_item(self, act):
        path = self.path.partition("?")[0]
        if not path.startswith("/items/"):
            return self.refuse(404, "there is only /items/NAME and /healthz")
        name = unquote(path.removeprefix("/items/"))
        if not NAME.fullmatch(name):
            return self.refuse(400, "a name is 1 to 128 of A-Z a-z 0-9 . _ -")
        self.guarded(lambda: act(name.encode()))

    def guarded(self, act):
        try:
            act()
        except RedisAway as error:
            self.refuse(503, str(error))
        except RedisRefused as error:
            self.refuse(503, f"redis refused: {error}")

    def body(self):
        """The request's body, or None after a refusal has been sent."""
        if "Transfer-Encoding" in self.headers:
            return self.refuse(411, "send a Content-Length; chunks are not taken")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return self.refuse(411, "send a Content-Length")
        waits = self.headers.get("Expect", "").lower() == "100-continue"
        if len(length) > 18 or int(length) > ITEM_BYTES_MAX:
            self.refuse(413, f"an item has at most {ITEM_BYTES_MAX} bytes")
            # Closed with bytes unread, the connection would be reset and the answer lost.
            return None if waits else self.discard(int(length))
        if waits:
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            return self.refuse(400, "the body is shorter than its Content-Length")
        return body

    def handle_expect_100(self):
        # Asked for only once the length is known to be acceptable, in body().
        return True

    def discard(self, length):
        left = min(length, DISCARDED_BYTES_MAX)
        while left > 0 and (chunk := self.rfile.read(min(left, 64 * 1024))):
            left -= len(chunk)

    def refuse(self, status, reason):
        # What is left of the request is not read, so this connection cannot carry another.
        self.close_connection = True
        self.answer(status, {"error": reason})

    def answer(self, status, value):
        self.answer_bytes(status, "application/json", json.dumps(value).encode() + b"\n")

    def answer_bytes(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def finish(self):
        try:
            super().finish()
        finally:
            POOL.drop()

    def log_request(self, code="-", size="-"):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        # A caller that hangs up is none of our troubles.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def listening_port():
    text = os.environ.get("PORT", "8080")
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        sys.exit(f"catalog: PORT is a number below 65536, not {text!r}")
    return int(text)


if __name__ == "__main__":
    redis_address()
    server = Server((os.environ.get("HOST", "0.0.0.0"), listening_port()), Handler)
    print(f"catalog: listening on port {server.server_port}", flush=True)
    server.serve_forever()
