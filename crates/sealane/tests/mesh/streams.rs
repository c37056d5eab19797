//! Connections: how they begin, how much they carry, how they end.

use std::time::Duration;

use crate::fixture::{AGENT, SOON, shared};

pub(crate) fn ends() {
    let cell = shared();
    // The caller ends its side first, and is answered after that.
    cell.prints(
        AGENT,
        "data = os.urandom(300_000)\n\
         answer = exchange('peer', 9002, data).decode()\n\
         print(answer == f'{len(data)} {hashlib.sha256(data).hexdigest()}')",
        "True",
    );
    // The callee speaks first, and neither side has ended.
    cell.prints(
        AGENT,
        "s = dial('peer', 9003)\nprint(s.recv(100))\ns.sendall(b'hello')\nprint(s.recv(100))\n\
         s.shutdown(socket.SHUT_WR)\nprint(read_all(s))",
        "b'220 ready\\n'\nb'hello'\nb''",
    );
    // The callee ends its side first; what the caller sends after that still arrives.
    cell.prints(
        AGENT,
        "s = dial('peer', 9006)\nprint(read_all(s))\ns.sendall(b'x' * 100_000)\n\
         s.shutdown(socket.SHUT_WR)\ntime.sleep(0.3)\nprint(exchange('peer', 9007))",
        "b'whole'\nb'ended 100000'",
    );
    // One byte at a time is not held back.
    cell.prints(
        AGENT,
        "s, start = dial('peer', 9001), time.monotonic()\n\
         for _ in range(50):\n\
         \x20   s.sendall(b'x')\n\
         \x20   assert s.recv(1) == b'x'\n\
         print(time.monotonic() - start < 1.5)",
        "True",
    );
}

pub(crate) fn bulk() {
    let cell = shared();
    let said = cell.run(
        AGENT,
        "piece, total, start = os.urandom(1 << 20), hashlib.sha256(), time.monotonic()\n\
         s = dial('peer', 9002)\n\
         for _ in range(64):\n\
         \x20   s.sendall(piece)\n\
         \x20   total.update(piece)\n\
         s.shutdown(socket.SHUT_WR)\n\
         assert read_all(s).decode() == f'{64 << 20} {total.hexdigest()}'\n\
         print(round(64 / (time.monotonic() - start)), 'MiB/s there')\n\
         start, s = time.monotonic(), dial('peer', 9004)\n\
         s.sendall(b'%d\\n' % (64 << 20))\n\
         data = read_all(s)\n\
         assert data == bytes(range(256)) * (1 << 18), len(data)\n\
         print(round(64 / (time.monotonic() - start)), 'MiB/s back')",
    );
    eprintln!("one stream: {said}");
}

pub(crate) fn parallel() {
    let cell = shared();
    cell.prints(
        AGENT,
        "start, results = threading.Barrier(200), []\n\
         def one(number):\n\
         \x20   data = bytes([number]) * 20_000\n\
         \x20   start.wait(TIMEOUT)\n\
         \x20   try:\n\
         \x20       results.append(exchange('peer', 9001, data) == data)\n\
         \x20   except OSError as error:\n\
         \x20       results.append(error)\n\
         threads = [threading.Thread(target=one, args=[number]) for number in range(200)]\n\
         for thread in threads: thread.start()\n\
         for thread in threads: thread.join()\n\
         print(len(results), [result for result in results if result is not True])",
        "200 []",
    );
}

/// Of each of the two proxies, for everything that waits for a reader that does not read.
const WAITING_BYTES_MAX: u64 = 4 << 20;

pub(crate) fn slow_reader() {
    let cell = shared();
    let roles = ["proxy acme/agent", "proxy acme/peer"];
    cell.run(AGENT, "get_ready = exchange('peer', 9001, b'x' * 1_000_000)");
    let before = roles.map(|role| cell.resident_bytes(role));
    cell.run(
        AGENT,
        "STATE['slow'] = s = dial('peer', 9004)\ns.sendall(b'%d\\n' % (128 << 20))\ntime.sleep(3)",
    );
    for (role, before) in roles.iter().zip(before) {
        let grown = cell.resident_bytes(role).saturating_sub(before);
        assert!(grown < WAITING_BYTES_MAX, "{role} has grown by {grown} bytes");
    }
    cell.prints(
        AGENT,
        "s, length = STATE.pop('slow'), 0\n\
         while piece := s.recv(1 << 20): length += len(piece)\n\
         print(length == 128 << 20)",
        "True",
    );
}

pub(crate) fn resets() {
    let cell = shared();
    // By the callee, after what it said has arrived.
    cell.prints(
        AGENT,
        "s = dial('peer', 9005)\nprint(s.recv(100))\ns.sendall(b'x')\n\
         attempt('read', lambda: read_all(s))",
        "b'partial'\nread: ConnectionResetError",
    );
    // By the caller, in the middle of what it sends.
    cell.prints(
        AGENT,
        "s = dial('peer', 9006)\nprint(s.recv(5))\ns.sendall(b'x' * 1000)\ntime.sleep(0.2)\n\
         s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))\ns.close()\n\
         time.sleep(0.3)\nprint(exchange('peer', 9007))",
        "b'whole'\nb'ConnectionResetError'",
    );
}

pub(crate) fn killed_proxies() {
    let mut cell = shared();
    for role in ["proxy acme/peer", "proxy acme/agent"] {
        // Fills the pool, so that its tunnels are dead afterwards.
        cell.run(AGENT, "for _ in range(6): exchange('peer', 9001, b'x'); time.sleep(0.05)");
        cell.run(
            AGENT,
            "STATE['down'] = dial('peer', 9004)\n\
             STATE['down'].sendall(b'%d\\n' % (64 << 20))\n\
             STATE['down'].recv(1000)\n\
             STATE['up'] = dial('peer', 9006)\n\
             STATE['up'].recv(5)\n\
             STATE['up'].sendall(b'x')",
        );
        cell.kill(role);
        cell.cell.wait_until("the cell is ready again", SOON, |status| status["ready"] == true);
        // Neither end takes what it got for all there is; and no new connection fails.
        cell.prints(
            AGENT,
            "for _ in range(8): assert exchange('peer', 9001, b'x') == b'x'\n\
             attempt('reading', lambda: read_all(STATE.pop('down')))\n\
             print(exchange('peer', 9007))\n\
             def send():\n\
             \x20   for _ in range(50):\n\
             \x20       STATE['up'].sendall(b'x')\n\
             \x20       time.sleep(0.02)\n\
             attempt('writing', send)\n\
             del STATE['up']",
            "reading: ConnectionResetError\nb'ConnectionResetError'\nwriting: BrokenPipeError",
        );
    }
}

pub(crate) fn renewals() {
    let mut cell = shared();
    let serials = |status: &serde_json::Value| -> Vec<String> {
        let all = status["certificates"].as_array().unwrap().iter();
        let own = all.filter(|c| {
            let identity = c["identity"].as_str().unwrap();
            identity.ends_with("acme/sa/agent") || identity.ends_with("acme/sa/redis")
        });
        own.map(|c| c["serial"].to_string()).collect()
    };
    let begun = serials(&cell.cell.status().unwrap());
    assert_eq!(begun.len(), 2);
    cell.run(
        AGENT,
        "def hold():\n\
         \x20   s, count = dial('redis', 6379), 0\n\
         \x20   s.sendall(b'SET held 0\\r\\n')\n\
         \x20   assert s.recv(100) == b'+OK\\r\\n'\n\
         \x20   while not STATE.get('enough'):\n\
         \x20       s.sendall(b'INCR held\\r\\n')\n\
         \x20       count += 1\n\
         \x20       if s.recv(100) != b':%d\\r\\n' % count: return 'wrong'\n\
         \x20       if count % 10 == 0: assert exchange('redis', 6379, b'QUIT\\r\\n') == b'+OK\\r\\n'\n\
         \x20       time.sleep(0.02)\n\
         \x20   return f'held {count > 100}'\n\
         STATE.pop('enough', None)\n\
         in_background('held', hold)",
    );
    // Longer than any certificate that was there when the connection began.
    std::thread::sleep(Duration::from_secs(12));
    cell.cell.wait_until("both SVIDs are renewed", SOON, |status| {
        serials(status).iter().all(|serial| !begun.contains(serial))
    });
    cell.prints(AGENT, "STATE['enough'] = True\nprint(awaited('held'))", "held True");
}
