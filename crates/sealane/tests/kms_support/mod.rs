//! The real `kms serve` and a client of a few lines, which owes nothing to any HTTP library.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub(crate) mod http;
pub(crate) mod memory;
pub(crate) mod signed;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crypto::Entropy as _;
use serde_json::Value;

use http::Connection;
use signed::AccessKey;

/// How long anything may take that is to happen at all. A slow machine is no fault.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often what `reduced` runs in an ordinary test run, and what `SEALANE_FULL=1` asks for.
pub(crate) fn count(reduced: usize, full: usize) -> usize {
    if std::env::var_os("SEALANE_FULL").is_some() { full } else { reduced }
}

/// A test that fails by panicking.
pub(crate) fn trial(name: &'static str, test: fn()) -> libtest_mimic::Trial {
    libtest_mimic::Trial::test(name, move || {
        test();
        Ok(())
    })
}

pub(crate) fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// A seed, from `SEALANE_SEED` or anew. It is printed, so that a failure can be repeated.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("SEALANE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let mut bytes = [0; 8];
        crypto::SystemEntropy::new().fill(&mut bytes);
        u64::from_le_bytes(bytes)
    });
    println!("SEALANE_SEED={seed}");
    seed
}

/// A cell of its own whose KMS serves in plaintext on a port of its own.
pub(crate) struct KmsServer {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    uid: Option<u32>,
    running: Option<Running>,
}

struct Running {
    process: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl KmsServer {
    /// A cell that does not serve yet.
    pub(crate) fn new() -> Self {
        Self::owned_by(None)
    }

    /// As [`KmsServer::new`], for the user `uid`, which only root can become.
    pub(crate) fn owned_by(uid: Option<u32>) -> Self {
        let folder = tempfile::Builder::new().prefix("sealane-test-").tempdir().unwrap();
        let (environment, arguments) = (Vec::new(), Vec::new());
        let server = Self { folder, environment, arguments, uid, running: None };
        if let Some(uid) = uid {
            std::os::unix::fs::chown(server.folder.path(), Some(uid), Some(uid)).unwrap();
        }
        server.ok(&["init", "--seal", "keyfile", "--account", "123456789012"]);
        server
    }

    /// A cell that serves.
    pub(crate) fn started() -> Self {
        let mut server = Self::new();
        server.start();
        server
    }

    pub(crate) fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn add_arguments(&mut self, arguments: &[&str]) {
        self.arguments.extend(arguments.iter().map(|one| (*one).to_owned()));
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.path().join("sealane.d")
    }

    /// How long the audit trail is by now.
    pub(crate) fn trail_bytes(&self) -> u64 {
        let files = fs::read_dir(self.dir().join("audit")).into_iter().flatten();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealane"));
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command.args(arguments).env("SEALANE_DIR", self.dir()).env("NO_COLOR", "1");
        command.env_remove("RUST_LOG").current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed, and gives its standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} failed: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts to serve, and gives how long it took until it did.
    pub(crate) fn start(&mut self) -> Duration {
        assert!(self.running.is_none(), "it serves already");
        let began = Instant::now();
        let mut command = self.command(&["kms", "serve", "--listen", "127.0.0.1:0", "--plaintext"]);
        command.args(&self.arguments).envs(self.environment.iter().cloned());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let log = Arc::default();
        collect(process.stderr.take().unwrap(), &log);
        let mut first = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut first).unwrap();
        let address = first.trim().strip_prefix("listening on http://");
        let address = address.and_then(|address| address.parse().ok()).unwrap_or_else(|| {
            let ended = process.wait().unwrap();
            // What it said last may still be on its way.
            std::thread::sleep(Duration::from_millis(200));
            panic!("no address in {first:?}; ended with {ended}: {}", log.lock().unwrap())
        });
        self.running = Some(Running { process, address, log });
        began.elapsed()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it was started")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running().address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running().process.id()
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::to(self.address())
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        self.running().log.lock().unwrap().clone()
    }

    /// A new access key of the account.
    pub(crate) fn access_key(&self, name: &str) -> AccessKey {
        let made = self.ok(&["kms", "credential", "create", name, "--output", "json"]);
        let made: Value = serde_json::from_str(&made).unwrap();
        let text = |member: &str| made[member].as_str().unwrap().to_owned();
        AccessKey { id: text("access_key_id"), secret: text("secret_access_key"), token: None }
    }

    /// As a power cut ends a process.
    pub(crate) fn kill(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        running.process.kill().unwrap();
        running.process.wait().unwrap();
    }

    /// Waits for its end, which somebody else has brought about.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.running.take().expect("it was started").process.wait().unwrap()
    }

    /// A named memory size of the process, such as `VmRSS`, in bytes.
    pub(crate) fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap() * 1024
    }

    /// It still runs, serves, and has said nothing of a panic or of a fault of its own.
    pub(crate) fn assert_well(&mut self, key: &AccessKey) {
        let running = self.running.as_mut().expect("it was started");
        let ended = running.process.try_wait().unwrap();
        let log = running.log.lock().unwrap().clone();
        assert!(ended.is_none(), "the server ended with {ended:?}: {log}");
        for word in ["panicked", "RUST_BACKTRACE", "ERROR"] {
            assert!(!log.contains(word), "the server says {word:?}: {log}");
        }
        let answer = self.connect().call(key, "ListKeys", b"{}");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

impl Drop for KmsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn collect(stream: impl std::io::Read + Send + 'static, into: &Arc<Mutex<String>>) {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut all = into.lock().unwrap();
            all.push_str(&line);
            all.push('\n');
        }
    });
}
