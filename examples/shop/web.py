"""The shop's face: hands /items/NAME on to the catalog.

CATALOG_URL (default http://catalog:8080) says where the catalog is, HOST and PORT (default
0.0.0.0 and 8080) where to listen. GET /healthz says that this program runs; it does not ask the
catalog.
"""

import http.client
import json
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

ITEM_BYTES_MAX = 1024 * 1024
DISCARDED_BYTES_MAX = 16 * 1024 * 1024
NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
IDLE_SECONDS_MAX = 120
CATALOG_SECONDS_MAX = 15


class CatalogAway(Exception):
    """The catalog cannot be reached, or stopped answering."""


class Pool(threading.local):
    """One connection for each thread, that is for each caller's connection."""

    connection = None

    def ask(self, method, path, body=None):
        """Asks the catalog; a kept connection that has died meanwhile is replaced once.

        Only for what may be said twice, as PUT and GET may.
        """
        fresh = self.connection is None
        try:
            return self.once(method, path, body)
        except CatalogAway:
            if fresh:
                raise
            return self.once(method, path, body)

    def once(self, method, path, body):
        host, port = catalog_address()
        if self.connection is None:
            self.connection = http.client.HTTPConnection(host, port, timeout=CATALOG_SECONDS_MAX)
        try:
            self.connection.request(method, path, body)
            response = self.connection.getresponse()
            answer = response.status, response.getheader("Content-Type"), response.read()
        except (OSError, http.client.HTTPException) as error:
            # What is half read must never answer the next question.
            self.drop()
            reason = str(error) or type(error).__name__
            raise CatalogAway(f"cannot reach the catalog at {host}:{port}: {reason}") from error
        if response.will_close:
            self.drop()
        return answer

    def drop(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


POOL = Pool()


def catalog_address():
    text = os.environ.get("CATALOG_URL", "http://catalog:8080")
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port or 80
    except ValueError:
        host = None
    if not host or url.scheme != "http":
        sys.exit(f"web: CATALOG_URL is http://HOST:PORT, not {text!r}")
    return host, port


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS_MAX
    # Head and body leave in one packet, without waiting for an acknowledgement in between.
    wbufsize = 64 * 1024
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path == "/healthz":
            return self.answer(200, {"status": "ok"})
        self.with_item(lambda path: self.pass_on("GET", path))

    def do_PUT(self):
        self.with_item(self.put)

    def put(self, path):
        body = self.body()
        if body is not None:
            self.pass_on("PUT", path, body)

    def pass_on(self, method, path, body=None):
        try:
            status, kind, answer = POOL.ask(method, path, body)
        except CatalogAway as error:
            return self.refuse(503, str(error))
        self.answer_bytes(status, kind or "application/octet-stream", answer)

    def with_item(self, act):
        path = self.path.partition("?")[0]
        if not path.startswith("/items/"):
            return self.refuse(404, "there is only /items/NAME and /healthz")
        name = unquote(path.removeprefix("/items/"))
        if not NAME.fullmatch(name):
            return self.refuse(400, "a name is 1 to 128 of A-Z a-z 0-9 . _ -")
        act(f"/items/{name}")

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
        sys.exit(f"web: PORT is a number below 65536, not {text!r}")
    return int(text)


if __name__ == "__main__":
    catalog_address()
    server = Server((os.environ.get("HOST", "0.0.0.0"), listening_port()), Handler)
    print(f"web: listening on port {server.server_port}", flush=True)
    server.serve_forever()
