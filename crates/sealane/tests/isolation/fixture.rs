use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sealane::launch::protocol::{Exit, Isolation, LaunchSpec, Limits, Listen, RunAs, VolumeMount};
use sealane::launch::{Launched, Output};
use tempfile::TempDir;

pub(crate) const PYTHON: &str = "/usr/bin/python3";
pub(crate) const SERVICE_UID: u32 = 61_234;
pub(crate) const PORT: u16 = 8080;
pub(crate) const SECRET: &str = "the-cell's-root-key";
const PATIENCE: Duration = Duration::from_secs(30);

/// Each attempt says whether it got through.
const PRELUDE: &str = r#"
import ctypes, errno, os, socket, struct, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, act):
    try:
        got = act()
    except BaseException as error:
        print(f"refused {name}: {error!r}", flush=True)
    else:
        print(f"THROUGH {name}: {got!r}", flush=True)
def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *arguments)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
def connect(address, family=socket.AF_INET, kind=socket.SOCK_STREAM):
    s = socket.socket(family, kind)
    s.settimeout(5)
    began = time.monotonic()
    try:
        s.connect(address)
    except TimeoutError:
        print(f"THROUGH {address}: hung instead of failing", flush=True)
        raise
    return s
def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return done.stdout
E = os.environ
"#;

/// Of the host: one that is the only user of its user namespace cannot give files away.
pub(crate) fn is_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").expect("a map");
    rustix::process::geteuid().is_root() && !map.trim_end().ends_with(" 1")
}

pub(crate) fn user_namespaces_work() -> bool {
    let done = std::process::Command::new("unshare").args(["-Ur", "true"]).output();
    done.is_ok_and(|done| done.status.success())
}

/// A host with a cell's directories and listeners on it, and a service to be launched there.
pub(crate) struct Fixture {
    pub(crate) directory: TempDir,
    pub(crate) spec: LaunchSpec,
    _tcp: TcpListener,
    _tcp6: Option<TcpListener>,
    _unix: Vec<UnixListener>,
}

impl Fixture {
    /// Runs `script` by Python as the service.
    pub(crate) fn new(script: &str) -> Self {
        let directory = TempDir::new().expect("a directory");
        // The service's uid may not enter the parent of its cwd, as below /root.
        let app = directory.path().join("private/app");
        let dir = app.join("sealane.d");
        fs::DirBuilder::new().mode(0o700).create(app.parent().expect("private")).expect("private");
        for path in [&app, &dir, &directory.path().join("home"), &directory.path().join("volume")] {
            fs::create_dir(path).expect("a directory");
            fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("its mode");
        }
        let program = app.join("service.py");
        fs::write(&program, format!("{PRELUDE}{script}")).expect("a script");
        fs::set_permissions(&program, PermissionsExt::from_mode(0o644)).expect("its mode");
        fs::write(dir.join("root.key"), SECRET).expect("a secret");
        let volume = directory.path().join("volume");
        let run_as = if is_root() {
            std::os::unix::fs::chown(&volume, Some(SERVICE_UID), Some(SERVICE_UID)).expect("chown");
            RunAs::Ids { uid: SERVICE_UID, gid: SERVICE_UID }
        } else {
            RunAs::Caller
        };

        let tcp = TcpListener::bind("0.0.0.0:0").expect("a port");
        let tcp6 = TcpListener::bind("[::1]:0").ok();
        let mut env = BTreeMap::new();
        let mut set = |key: &str, value: String| env.insert(key.to_owned(), value);
        set("TCP", tcp.local_addr().expect("an address").port().to_string());
        let port6 = tcp6.as_ref().map_or(9, |tcp6| tcp6.local_addr().expect("an address").port());
        set("TCP6", port6.to_string());
        set("HOST", own_address());
        set("DIR", dir.display().to_string());
        set("CWD", app.display().to_string());
        let mut unix = Vec::new();
        let mut sockets = vec![
            directory.path().join("in-tmp.sock"),
            dir.join("in-dir.sock"),
            directory.path().join("home/s"),
        ];
        if is_root() {
            let name = directory.path().file_name().expect("a name").to_str().expect("ASCII");
            sockets.push(format!("/run/sealane-test-{name}.sock").into());
        }
        for path in &sockets {
            unix.push(UnixListener::bind(path).expect("a socket"));
            fs::set_permissions(path, PermissionsExt::from_mode(0o777)).expect("its mode");
        }
        set(
            "UNIX",
            sockets.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":"),
        );
        let name = format!("sealane-test-{}-{}", std::process::id(), directory.path().display());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        unix.push(UnixListener::bind_addr(&address).expect("an abstract socket"));
        set("ABSTRACT", name);

        let spec = LaunchSpec {
            name: "probe".into(),
            isolation: Isolation::Full,
            run: vec![PYTHON.into(), "service.py".into()],
            env,
            cwd: app,
            run_as,
            ports: vec![PORT],
            listen: Listen::Any,
            volumes: vec![VolumeMount { source: volume, at: "/data".into() }],
            visible: vec![],
            hidden: vec![dir],
            limits: Limits::default(),
        };
        Self { directory, spec, _tcp: tcp, _tcp6: tcp6, _unix: unix }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// In its namespaces, not yet started.
    pub(crate) fn spawn(&self) -> Running {
        let (launched, reader) = spawn(&self.spec);
        Running { launched, reader }
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> Ran {
        let mut running = self.spawn();
        running.launched.start().unwrap_or_else(|error| panic!("{error}"));
        let exit = running.exit();
        Ran { exit, output: running.output() }
    }

    /// Asserts that each attempt was made, and refused.
    pub(crate) fn all_refused(&self) {
        let ran = self.run();
        assert_eq!(ran.exit, Exit::Code(0), "{}", ran.output);
        assert!(ran.output.contains("refused"), "nothing was attempted: {}", ran.output);
        assert!(!ran.output.contains("THROUGH"), "{}", ran.output);
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        for path in self.spec.env["UNIX"].split(':') {
            let _ = fs::remove_file(path);
        }
    }
}

pub(crate) struct Ran {
    pub(crate) exit: Exit,
    pub(crate) output: String,
}

pub(crate) struct Running {
    pub(crate) launched: Launched,
    reader: OwnedFd,
}

impl Running {
    pub(crate) fn exit(&mut self) -> Exit {
        let exit = self.launched.wait_exit(PATIENCE).unwrap_or_else(|error| panic!("{error}"));
        exit.expect("the service ends in time")
    }

    /// Ends everything; the output is complete then.
    pub(crate) fn output(self) -> String {
        self.launched.end();
        let mut text = String::new();
        fs::File::from(self.reader).read_to_string(&mut text).expect("UTF-8");
        text
    }
}

/// Launches with standard output and error in one pipe.
pub(crate) fn spawn(spec: &LaunchSpec) -> (Launched, OwnedFd) {
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
    let output = Output { stdout: writer.try_clone().expect("a descriptor"), stderr: writer };
    let launched = Launched::spawn(Path::new("/proc/self/exe"), spec, &output, None);
    (launched.unwrap_or_else(|error| panic!("{error}")), reader)
}

/// Polls until `check` has something.
pub(crate) fn eventually<T>(
    what: &str,
    within: Duration,
    mut check: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An address of the host that is not a loopback one, if it has any.
fn own_address() -> String {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a port");
    // Nothing is sent: connecting only chooses a route.
    let address = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    address.map_or_else(|_| "127.0.0.2".into(), |address| address.ip().to_string())
}
