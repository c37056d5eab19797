//! A whole cell without root, and one without isolation: what still holds, and what is said of what
//! does not.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;
use support::user::Place;
use support::{TestCell, assert_nothing_left};

const ACME: &str = "acme.shop.localhost";
const GLOBEX: &str = "globex.shop.localhost";
const SOON: Duration = Duration::from_secs(30);

type Test = (&'static str, fn());

/// What an unprivileged user runs: by itself without root, by a change of user as root.
const FOR_USERS: [Test; 7] = [
    ("a_user_runs_a_cell_and_restarts_it", a_user_runs_a_cell),
    ("a_disabled_key_takes_its_tenant_down_without_root", disabled_key),
    ("what_is_killed_comes_back_without_root", killed_processes_come_back),
    ("without_root_everything_dies_with_the_supervisor", supervisor_death),
    ("no_acknowledged_item_is_lost_without_root", kills_under_load),
    ("without_root_no_way_leads_around_the_proxy", ways_around),
    ("a_user_runs_a_cell_without_isolation", || without_isolation(for_user)),
];

const FOR_ROOT: [Test; 2] = [
    ("root_runs_a_cell_without_isolation", || without_isolation(for_root)),
    ("what_a_user_lacks_is_named_with_a_remedy", what_is_missing_is_named),
];

fn main() {
    let arguments = Arguments::from_args();
    let trial = |(name, test): Test, refusal: Option<&str>| {
        let trial = Trial::test(name, move || {
            test();
            Ok(())
        });
        match refusal {
            Some(why) => trial.with_kind(format!("skipped: {why}")).with_ignored_flag(true),
            None => trial,
        }
    };
    let user = support::user::refusal();
    let root = (!support::is_root()).then_some("needs root");
    let users = FOR_USERS.into_iter().map(|test| trial(test, user));
    let roots = FOR_ROOT.into_iter().map(|test| trial(test, root));
    libtest_mimic::run(&arguments, users.chain(roots).collect()).exit();
}

fn for_user(cell: TestCell) -> TestCell {
    cell.for_user(Place::Plain)
}

/// Without a mount namespace of their own, services see the folder as it is.
fn for_root(cell: TestCell) -> TestCell {
    fs::set_permissions(cell.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    cell
}

fn unprivileged() -> TestCell {
    for_user(TestCell::new(|file| file))
}

fn put(cell: &TestCell, host: &str, path: &str, body: &[u8]) {
    let put = cell.client(host).put(path, body).unwrap();
    assert!((200..300).contains(&put.status), "{host}{path}: {put:?}");
}

fn body(cell: &TestCell, host: &str, path: &str) -> Vec<u8> {
    let get = cell.client(host).get(path).unwrap();
    assert_eq!(get.status, 200, "{host}{path}: {get:?}");
    get.body
}

fn pid(raw: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(raw.cast_signed()).unwrap()
}

fn kill(raw: u32) {
    rustix::process::kill_process(pid(raw), rustix::process::Signal::KILL).unwrap();
}

fn is_running(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.trim_start().starts_with('Z'))
}

fn assert_all_end(processes: &[u32]) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Some(pid) = processes.iter().find(|pid| is_running(**pid)) {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(Instant::now() < deadline, "process {pid} lives on: {line:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn warnings(status: &Value) -> Vec<String> {
    let warnings = status["warnings"].as_array().unwrap().iter();
    warnings.map(|warning| warning.as_str().unwrap().to_owned()).collect()
}

/// The uid, as the host knows it, that a process runs as.
fn uid_of(process: u64) -> u32 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn a_user_runs_a_cell() {
    let mut cell = unprivileged();
    cell.up();
    let output = cell.output();
    assert!(!output.contains("ERROR"), "a start without a fault:\n{output}");
    put(&cell, ACME, "/items/anvil", b"heavy");
    put(&cell, GLOBEX, "/items/anvil", b"light");
    assert_eq!(body(&cell, ACME, "/items/anvil"), b"heavy");

    let status = cell.status().unwrap();
    let warnings = warnings(&status);
    assert!(warnings.iter().any(|w| w.contains("fuse2fs")), "{warnings:?}");
    let supervisor = uid_of(u64::from(cell.pid()));
    assert_ne!(supervisor, 0);
    for service in status["services"].as_array().unwrap() {
        let process = service["pid"].as_u64().unwrap();
        assert_eq!(uid_of(process), supervisor, "{service}");
        let own = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        for set in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            let line = own.lines().find(|line| line.starts_with(set)).unwrap();
            assert!(line.ends_with("\t0000000000000000"), "{service}: {line}");
        }
    }
    let log = cell.ok(&["logs", "acme/redis"]);
    assert!(log.contains("Ready to accept connections"), "{log}");
    cell.wait_until("connections are reported", SOON, |status| {
        let connections = status["connections"].as_array().unwrap();
        connections.iter().any(|c| c["cipher"] == "TLS_AES_256_GCM_SHA384")
    });
    cell.ok(&["volume", "check", "acme/redis"]);

    let processes = cell.processes(cell.pid());
    assert!(processes.len() > 20, "a whole cell has many processes: {processes:?}");
    assert!(cell.interrupt(), "Ctrl-C ends the cell cleanly");
    assert_all_end(&processes);
    assert_nothing_left(&cell.dir());
    cell.up();
    assert_eq!(body(&cell, ACME, "/items/anvil"), b"heavy");
    assert_eq!(body(&cell, GLOBEX, "/items/anvil"), b"light");
    let processes = cell.processes(cell.pid());
    cell.ok(&["down"]);
    assert!(cell.interrupt_is_over());
    assert_all_end(&processes);
    assert_nothing_left(&cell.dir());
}

fn key_of(cell: &TestCell, tenant: &str) -> String {
    let keys = cell.json(&["key", "list"]);
    let mut keys = keys.as_array().unwrap().iter();
    keys.find(|key| key["tenant"] == tenant).unwrap()["id"].as_str().unwrap().to_owned()
}

fn volume_state(status: &Value, tenant: &str) -> String {
    let mut volumes = status["volumes"].as_array().unwrap().iter();
    volumes.find(|v| v["tenant"] == tenant).unwrap()["state"].as_str().unwrap().to_owned()
}

/// The processes that serve file systems: one for each volume, since each must end with its volume.
fn file_systems(cell: &TestCell) -> Vec<u32> {
    let named = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "fuse2fs")
    };
    cell.processes(cell.pid()).into_iter().filter(named).collect()
}

fn disabled_key() {
    let mut cell = unprivileged();
    cell.up();
    put(&cell, ACME, "/items/a", b"kept");
    let key = key_of(&cell, "acme");
    let disabled_at = Instant::now();
    cell.ok(&["key", "disable", &key]);
    cell.wait_until("acme's volume is gone", Duration::from_secs(5), |status| {
        volume_state(status, "acme") == "key-disabled"
    });
    assert!(disabled_at.elapsed() < Duration::from_secs(5), "{:?}", disabled_at.elapsed());
    assert_eq!(file_systems(&cell).len(), 1, "nothing of acme's volume is left");
    assert_ne!(cell.client(ACME).get("/items/a").unwrap().status, 200);
    put(&cell, GLOBEX, "/items/a", b"untouched");

    cell.ok(&["key", "enable", &key]);
    cell.wait_until("acme is back", SOON, |status| status["ready"] == true);
    assert_eq!(body(&cell, ACME, "/items/a"), b"kept");
    assert_eq!(file_systems(&cell).len(), 2);
}

fn killed_processes_come_back() {
    let mut cell = unprivileged();
    cell.up();
    for host in [ACME, GLOBEX] {
        put(&cell, host, "/items/a", b"kept");
    }
    type Find = fn(&TestCell) -> u32;
    let victims: [(&str, Find); 3] = [
        ("the engine", |cell| cell.child("volume acme/redis")),
        ("the file system", |cell| file_systems(cell)[0]),
        ("control", |cell| cell.child("control")),
    ];
    for (what, victim) in victims {
        let victim = victim(&cell);
        kill(victim);
        assert_all_end(&[victim]);
        for host in [ACME, GLOBEX] {
            let deadline = Instant::now() + SOON;
            loop {
                let get = cell.client(host).get("/items/a");
                if get.as_ref().is_ok_and(|get| get.status == 200 && get.body == b"kept") {
                    break;
                }
                let output = cell.output();
                assert!(Instant::now() < deadline, "after {what} was killed: {get:?}\n{output}");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        cell.wait_until("the cell is ready again", SOON, |status| status["ready"] == true);
    }
    assert_eq!(file_systems(&cell).len(), 2);
}

fn supervisor_death() {
    let mut cell = unprivileged();
    cell.up();
    put(&cell, ACME, "/items/a", b"kept");
    let all = cell.processes(cell.pid());
    kill(cell.pid());
    assert_all_end(&all[1..]);
    cell.kill_everything();
    assert_nothing_left(&cell.dir());
    cell.up();
    assert_eq!(body(&cell, ACME, "/items/a"), b"kept");
}

/// What one tenant was told is stored.
#[derive(Default)]
struct Acknowledged {
    /// Written once each.
    items: BTreeMap<String, String>,
    /// Overwritten again and again, with growing numbers.
    counter: u64,
}

impl Acknowledged {
    fn write_until(&mut self, client: &support::https::Client, kill: usize, stop: &AtomicBool) {
        let Ok(mut connection) = client.connect() else { return };
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            let (item, value) = (format!("{kill}-{number}"), format!("value {kill} {number}"));
            let stored = |response: std::io::Result<support::https::Response>| {
                response.is_ok_and(|response| (200..300).contains(&response.status))
            };
            if !stored(connection.request("PUT", &format!("/items/{item}"), value.as_bytes())) {
                return;
            }
            self.items.insert(item, value);
            let next = self.counter + 1;
            if !stored(connection.request("PUT", "/items/counter", next.to_string().as_bytes())) {
                return;
            }
            self.counter = next;
        }
    }

    fn verify(&mut self, client: &support::https::Client) {
        let mut connection = client.connect().unwrap();
        for (item, value) in &self.items {
            let get = connection.request("GET", &format!("/items/{item}"), b"").unwrap();
            assert_eq!(get.status, 200, "item {item} is lost: {get:?}");
            assert_eq!(support::text(&get.body), *value, "item {item}");
        }
        if self.counter > 0 {
            let get = connection.request("GET", "/items/counter", b"").unwrap();
            let counter: u64 = support::text(&get.body).parse().unwrap();
            assert!(
                (self.counter..=self.counter + 1).contains(&counter),
                "the counter went from {} to {counter}",
                self.counter
            );
            self.counter = counter;
        }
    }
}

fn random_below(bound: u64) -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0) % bound
}

/// Promise 2 over fuse2fs, which keeps no journal.
fn kills_under_load() {
    let mut cell = unprivileged();
    let mut tenants = [(ACME, Acknowledged::default()), (GLOBEX, Acknowledged::default())];
    for kill in 0..support::count(5, 10) {
        cell.up();
        for (host, acknowledged) in &mut tenants {
            acknowledged.verify(&cell.client(host));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let writers = tenants.map(|(host, mut acknowledged)| {
            let (client, stop) = (cell.client(host), Arc::clone(&stop));
            std::thread::spawn(move || {
                acknowledged.write_until(&client, kill, &stop);
                (host, acknowledged)
            })
        });
        std::thread::sleep(Duration::from_millis(100 + random_below(1500)));
        cell.kill_everything();
        stop.store(true, Ordering::Relaxed);
        tenants = writers.map(|writer| writer.join().unwrap());
        let known: Vec<_> = tenants.iter().map(|(_, known)| known.items.len()).collect();
        println!("kill {kill}: {known:?} items acknowledged so far");
    }
    cell.up();
    for (host, acknowledged) in &mut tenants {
        acknowledged.verify(&cell.client(host));
        assert!(acknowledged.items.len() > 10, "{host}: there was no load");
    }
    assert!(cell.interrupt());
    assert_nothing_left(&cell.dir());
}

/// A service that tries to get out, and says what came of it.
const PROBE: &str = r#"
import http.server, json, os, socket
E = os.environ
def tcp(family, address):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(5)
    s.connect(address)
def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("192.0.2.1", 53))
    s.send(b"out")
def unix(path):
    socket.socket(socket.AF_UNIX).connect(path)
def mount():
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None) != 0:
        raise OSError(ctypes.get_errno(), "mount")
ATTEMPTS = {
    "the host's loopback": lambda: tcp(socket.AF_INET, ("127.0.0.1", int(E["HOST_PORT"]))),
    "another address": lambda: tcp(socket.AF_INET, ("192.0.2.1", 80)),
    "IPv6": lambda: tcp(socket.AF_INET6, ("2001:db8::1", 80)),
    "UDP": udp,
    "a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3),
    "vsock": lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM),
    "a name outside": lambda: socket.getaddrinfo("example.com", 80),
    "an abstract socket": lambda: unix("\0" + E["ABSTRACT"]),
    "control's socket": lambda: unix(E["CELL_DIR"] + "/run/control.sock"),
    "the key file": lambda: open(E["CELL_DIR"] + "/root.key").read(),
    "the folder's own files": lambda: open("written", "w"),
    "a mount": mount,
    "a service that it may not call": lambda: exchange("redis", 6379),
}
def exchange(host, port):
    s = socket.create_connection((host, port), timeout=5)
    s.sendall(b"PING\r\n")
    if not s.recv(1):
        raise ConnectionError("closed")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answers = {}
        for name, act in ATTEMPTS.items():
            try:
                answers[name] = "THROUGH %r" % (act(),)
            except Exception as error:
                answers[name] = "refused: %r" % error
        body = json.dumps(answers).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("", 8080), Handler).serve_forever()
"#;

fn ways_around() {
    let host = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let host_port = host.local_addr().unwrap().port();
    let name = format!("sealane-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    let _abstract = UnixListener::bind_addr(&address).unwrap();
    let cell = TestCell::new(|file| {
        let probe = format!(
            "[service.probe]\ntenants = [\"acme\"]\nrun = [\"python3\", \"probe.py\"]\n\
             port = 8080\nenv = {{ HOST_PORT = \"{host_port}\", ABSTRACT = \"{name}\", \
             CELL_DIR = \"DIR\" }}\n\n[ingress]"
        );
        let route = "route = [\n  { host = \"probe.shop.localhost\", tenant = \"acme\", \
                     to = \"probe:8080\" },";
        file.replace("[ingress]", &probe).replace("route = [", route)
    });
    let file = fs::read_to_string(cell.cell_file()).unwrap();
    let file = file.replace("\"DIR\"", &format!("\"{}\"", cell.dir().display()));
    fs::write(cell.cell_file(), file).unwrap();
    fs::write(cell.folder.path().join("probe.py"), PROBE).unwrap();
    let mut cell = for_user(cell);
    cell.up();
    let answers = body(&cell, "probe.shop.localhost", "/");
    let answers: BTreeMap<String, String> = serde_json::from_slice(&answers).unwrap();
    assert_eq!(answers.len(), 14, "{answers:#?}");
    let through: Vec<_> =
        answers.iter().filter(|(_, answer)| !answer.starts_with("refused")).collect();
    assert!(through.is_empty(), "{through:#?}");
}

/// The example's cell file without isolation, with the port of the one with.
fn none(file: &str) -> String {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop/cell-none.toml");
    let none = fs::read_to_string(example).unwrap();
    let listen = file.lines().find(|line| line.starts_with("listen = ")).unwrap();
    none.replace("listen = \"0.0.0.0:8443\"", listen)
}

fn without_isolation(belonging: fn(TestCell) -> TestCell) {
    let mut cell = belonging(TestCell::new(|file| none(&file)));
    cell.up();
    put(&cell, ACME, "/items/anvil", b"heavy");
    put(&cell, GLOBEX, "/items/anvil", b"light");
    assert_eq!(body(&cell, ACME, "/items/anvil"), b"heavy");
    assert_eq!(body(&cell, GLOBEX, "/items/anvil"), b"light");

    let status = cell.wait_until("connections are reported", SOON, |status| {
        status["connections"].as_array().unwrap().len() >= 7
    });
    let first = &warnings(&status)[0];
    assert!(first.contains("isolation"), "{first}");
    let report = cell.ok(&["report"]);
    let unprotected = report.lines().find(|line| line.starts_with("not protected")).unwrap();
    assert!(unprotected.contains("isolation"), "{unprotected}");
    let signed = cell.json(&["report"]);
    let signed: Value = serde_json::from_str(signed["report"].as_str().unwrap()).unwrap();
    assert!(signed["not_protected"][0].as_str().unwrap().contains("isolation"), "{signed}");
    for service in status["services"].as_array().unwrap() {
        assert_ne!(uid_of(service["pid"].as_u64().unwrap()), 0, "{service}");
    }

    // A service that is killed is started again, on another port, and reached as before.
    let web = status["services"].as_array().unwrap().iter().find(|s| s["name"] == "catalog");
    let web = u32::try_from(web.unwrap()["pid"].as_u64().unwrap()).unwrap();
    kill(web);
    assert_all_end(&[web]);
    cell.wait_until("it is back", SOON, |status| status["ready"] == true);
    assert_eq!(body(&cell, ACME, "/items/anvil"), b"heavy");
    assert_eq!(body(&cell, GLOBEX, "/items/anvil"), b"light");

    let all = cell.processes(cell.pid());
    kill(cell.pid());
    assert_all_end(&all[1..]);
    cell.kill_everything();
    cell.up();
    assert_eq!(body(&cell, ACME, "/items/anvil"), b"heavy");
    let all = cell.processes(cell.pid());
    assert!(cell.interrupt());
    assert_all_end(&all);
    assert_nothing_left(&cell.dir());
}

fn what_is_missing_is_named() {
    let cases: [(Place, &[&str]); 3] = [
        (Place::FuseClosed, &["/dev/fuse", "Permission denied", "chmod 0666 /dev/fuse"]),
        (Place::NoUserNamespaces, &["user namespace", "not permitted", "sysctl", "as root"]),
        (Place::NoPrograms, &["`fuse2fs`", "apt-get install", "fuse2fs"]),
    ];
    for (place, said) in cases {
        let cell = TestCell::new(|file| file).for_user(place);
        let refused = cell.fails(&["up", "cell.toml"]);
        // Long lines are broken where the terminal ends.
        let flat = refused.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        for part in said {
            assert!(flat.contains(part), "{part}: {refused}");
        }
        assert!(!refused.contains("panicked"), "{refused}");
    }
}
