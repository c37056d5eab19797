"""The shop by itself, on loopback ports: redis, catalog and web as anybody would start them."""

import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
SECONDS_MAX = 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_redis(directory, port):
    command = ["redis-server", str(HERE / "redis.conf"), "--dir", directory, "--port", str(port)]
    command += ["--bind", "127.0.0.1"]
    redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
                probe.sendall(b"PING\r\n")
                if probe.recv(64).startswith(b"+PONG"):
                    return redis
        except OSError:
            pass
        if redis.poll() is not None or time.monotonic() > deadline:
            redis.kill()
            raise RuntimeError("redis-server did not come up")
        time.sleep(0.02)


def start_program(name, **environment):
    command = [sys.executable, str(HERE / f"{name}.py")]
    environment = {**os.environ, "PORT": "0", **environment}
    program = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    said = re.search(r"listening on port (\d+)", program.stdout.readline())
    if said is None:
        program.kill()
        raise RuntimeError(f"{name}.py did not come up")
    return program, int(said[1])


class Shop(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="shop-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.redis_port = free_port()
        self.redis = self.start_redis()
        redis = f"127.0.0.1:{self.redis_port}"
        self.catalog_port = self.start("catalog", REDIS_ADDR=redis)
        self.web_port = self.start("web", CATALOG_URL=f"http://127.0.0.1:{self.catalog_port}")
        self.web = http.client.HTTPConnection("127.0.0.1", self.web_port, timeout=SECONDS_MAX)
        self.addCleanup(self.web.close)

    def start_redis(self):
        redis = start_redis(self.directory, self.redis_port)
        self.addCleanup(self.stop, redis)
        return redis

    def start(self, name, **environment):
        program, port = start_program(name, **environment)
        self.addCleanup(program.stdout.close)
        self.addCleanup(self.stop, program)
        return port

    def stop(self, program):
        program.kill()
        program.wait()

    def ask(self, method, path, body=None, headers=None):
        self.web.request(method, path, body, headers or {})
        response = self.web.getresponse()
        return response.status, response.read()

    def refused(self, status, reason, *request):
        answered, body = self.ask(*request)
        self.assertEqual(answered, status, body)
        self.assertIn(reason, json.loads(body)["error"])

    def test_items_are_stored_and_read_over_one_connection(self):
        every_byte = bytes(range(256)) * 16
        self.assertEqual(self.ask("PUT", "/items/chair", every_byte)[0], 200)
        kept = self.web.sock
        self.assertEqual(self.ask("GET", "/items/chair"), (200, every_byte))
        self.assertEqual(self.ask("PUT", "/items/empty", b"")[0], 200)
        self.assertEqual(self.ask("GET", "/items/empty"), (200, b""))
        self.refused(404, "no item 'table'", "GET", "/items/table")
        self.assertEqual(self.ask("GET", "/healthz")[0], 200)
        self.assertIs(self.web.sock, kept)

    def test_what_is_wrong_with_a_request_is_said(self):
        self.refused(400, "a name is", "GET", "/items/../etc")
        self.refused(400, "a name is", "GET", "/items/a%0d%0ab")
        self.refused(400, "a name is", "PUT", "/items/" + "n" * 129, b"x")
        self.assertEqual(self.ask("PUT", "/items/" + "n" * 128, b"x")[0], 200)
        self.refused(404, "there is only", "GET", "/")
        self.refused(411, "Content-Length", "PUT", "/items/a", iter([b"x"]))

    def test_an_item_has_a_largest_size(self):
        largest = b"x" * 1024 * 1024
        self.assertEqual(self.ask("PUT", "/items/large", largest)[0], 200)
        self.assertEqual(self.ask("GET", "/items/large"), (200, largest))
        self.refused(413, "at most 1048576", "PUT", "/items/large", largest + b"x")
        self.assertEqual(self.ask("GET", "/items/large"), (200, largest))

    def test_redis_gone_is_said_and_redis_back_is_found(self):
        self.assertEqual(self.ask("PUT", "/items/chair", b"red")[0], 200)
        self.stop(self.redis)
        self.refused(503, "cannot reach redis", "GET", "/items/chair")
        self.refused(503, "cannot reach redis", "PUT", "/items/chair", b"blue")
        self.start_redis()
        # What had been acknowledged survived the kill.
        self.assertEqual(self.ask("GET", "/items/chair"), (200, b"red"))

    def test_a_restarted_redis_costs_no_request(self):
        self.assertEqual(self.ask("PUT", "/items/chair", b"red")[0], 200)
        self.stop(self.redis)
        self.start_redis()
        # The catalog still holds its connection to the Redis that died.
        self.assertEqual(self.ask("GET", "/items/chair"), (200, b"red"))

    def test_the_catalog_tells_whether_redis_answers(self):
        catalog = http.client.HTTPConnection("127.0.0.1", self.catalog_port, timeout=SECONDS_MAX)
        self.addCleanup(catalog.close)
        for status in (200, 503):
            catalog.request("GET", "/healthz")
            response = catalog.getresponse()
            self.assertEqual(response.status, status, response.read())
            response.read()
            self.stop(self.redis)

    def test_a_wrong_setting_is_said_at_once(self):
        for name, setting, value in [
            ("web", "CATALOG_URL", "catalog:8080"),
            ("catalog", "REDIS_ADDR", "redis"),
            ("web", "PORT", "http"),
            ("catalog", "PORT", "65536"),
        ]:
            ended = subprocess.run(
                [sys.executable, str(HERE / f"{name}.py")],
                env={**os.environ, setting: value},
                capture_output=True,
                text=True,
                timeout=SECONDS_MAX,
            )
            self.assertEqual(ended.returncode, 1)
            self.assertIn(f"{name}: {setting} is", ended.stderr)


if __name__ == "__main__":
    unittest.main()
