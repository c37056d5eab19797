//! A cell for tests: the real binary, the example's real services, real clients.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub(crate) mod https;
pub(crate) mod user;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a cell may take from `up` to ready. Far more than it needs: a slow machine is no fault.
pub(crate) const READY_MAX: Duration = Duration::from_secs(90);

/// How often what `reduced` runs in an ordinary test run, and what `SEALANE_FULL=1` asks for.
pub(crate) fn count(reduced: usize, full: usize) -> usize {
    if std::env::var_os("SEALANE_FULL").is_some() { full } else { reduced }
}

pub(crate) fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// The example cell in a folder of its own, with a port of its own.
pub(crate) struct TestCell {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) port: u16,
    /// What runs the binary in its place: see `user`.
    pub(crate) wrapper: Option<user::Wrapper>,
    up: Option<Up>,
}

struct Up {
    process: Child,
    output: Arc<Mutex<String>>,
}

impl TestCell {
    /// Writes the example's cell file, changed by `edit`, beside the example's programs.
    pub(crate) fn new(edit: impl FnOnce(String) -> String) -> Self {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop");
        let folder = tempfile::Builder::new().prefix("sealane-test-").tempdir().unwrap();
        for entry in fs::read_dir(&example).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        let port = free_port();
        let cell = fs::read_to_string(example.join("cell.toml")).unwrap();
        let cell = cell.replace("0.0.0.0:8443", &format!("127.0.0.1:{port}"));
        assert!(cell.contains(&port.to_string()), "the example's ingress listens on 0.0.0.0:8443");
        fs::write(folder.path().join("cell.toml"), edit(cell)).unwrap();
        Self { folder, port, wrapper: None, up: None }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.path().join("sealane.d")
    }

    pub(crate) fn cell_file(&self) -> PathBuf {
        self.folder.path().join("cell.toml")
    }

    /// A command of the binary, with this cell's DIR.
    pub(crate) fn sealane(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.wrapper {
            Some(wrapper) => wrapper.command(),
            None => Command::new(env!("CARGO_BIN_EXE_sealane")),
        };
        command.args(arguments).env("SEALANE_DIR", self.dir()).env("NO_COLOR", "1");
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.sealane(arguments).output().unwrap()
    }

    /// Runs a command that must succeed, and gives its standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?} failed: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs a command that must fail, and gives what it says.
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?} succeeded: {}", text(&output.stdout));
        text(&output.stderr)
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.extend(["--output", "json"]);
        serde_json::from_str(&self.ok(&all)).unwrap()
    }

    /// Starts the cell without waiting for it.
    pub(crate) fn start(&mut self) {
        assert!(self.up.is_none(), "the cell runs already");
        let mut process = self
            .sealane(&["up", "cell.toml"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        collect(process.stdout.take().unwrap(), &output);
        collect(process.stderr.take().unwrap(), &output);
        self.up = Some(Up { process, output });
    }

    /// Starts the cell and waits until it is ready.
    pub(crate) fn up(&mut self) {
        self.start();
        self.wait_until("the cell is ready", READY_MAX, |status| status["ready"] == true);
    }

    /// What `up` has printed so far.
    pub(crate) fn output(&self) -> String {
        self.up.as_ref().map(|up| up.output.lock().unwrap().clone()).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.up.as_ref().unwrap().process.id()
    }

    pub(crate) fn status(&self) -> Option<Value> {
        let output = self.run(&["status", "--output", "json"]);
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Polls `status` until `condition` holds; panics with all that is known if it does not.
    pub(crate) fn wait_until(
        &mut self,
        what: &str,
        patience: Duration,
        condition: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + patience;
        loop {
            let status = self.status();
            if let Some(status) = &status
                && condition(status)
            {
                return status.clone();
            }
            let ended = self.up.as_mut().and_then(|up| up.process.try_wait().unwrap());
            if ended.is_some() || Instant::now() >= deadline {
                let status = status.map(|s| s.to_string()).unwrap_or_default();
                panic!(
                    "waited in vain until {what}; up ended: {ended:?}; status: {status}; \
                        up said:\n{}",
                    self.output()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends the cell as Ctrl-C does, and gives whether `up` succeeded.
    pub(crate) fn interrupt(&mut self) -> bool {
        let Some(up) = &mut self.up else { return true };
        let pid = rustix::process::Pid::from_child(&up.process);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let status = up.process.wait().unwrap();
        if !status.success() {
            eprintln!("up ended with {status}:\n{}", up.output.lock().unwrap());
        }
        self.up = None;
        status.success()
    }

    /// Kills every process of the cell at once, as a power cut would.
    pub(crate) fn kill_everything(&mut self) {
        let Some(mut up) = self.up.take() else { return };
        let pids = self.processes(up.process.id());
        for pid in pids {
            if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        let _ = up.process.kill();
        up.process.wait().unwrap();
    }

    /// The supervisor and everything that descends from it.
    pub(crate) fn processes(&self, supervisor: u32) -> Vec<u32> {
        let mut found = vec![supervisor];
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            if let Some(parent) = parent_of(pid) {
                parents.push((pid, parent));
            }
        }
        let mut next = 0;
        while next < found.len() {
            let parent = found[next];
            found.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
            next += 1;
        }
        found
    }

    /// A client of the ingress that trusts the cell's own roots.
    pub(crate) fn client(&self, host: &str) -> https::Client {
        let bundle = self.ok(&["ca", "bundle"]);
        https::Client::new(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)), host, &bundle)
    }
}

impl Drop for TestCell {
    fn drop(&mut self) {
        self.kill_everything();
        // The next `up` in this DIR would remove its cgroups, and there is none.
        let deadline = Instant::now() + Duration::from_secs(2);
        let cgroups = || leftovers(&self.dir()).into_iter().filter(|p| p.starts_with("/sys/fs"));
        while cgroups().filter(|path| fs::remove_dir(path).is_err()).count() > 0 {
            if Instant::now() >= deadline {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
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

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// What a cell must not leave behind: mounts, loop devices and cgroups that name `dir` or `sealane`.
pub(crate) fn leftovers(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let dir = dir.to_string_lossy();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    found.extend(mounts.lines().filter(|line| line.contains(&*dir)).map(str::to_owned));
    for entry in fs::read_dir("/sys/block").unwrap().flatten() {
        let backing = fs::read_to_string(entry.path().join("loop/backing_file"));
        if let Ok(backing) = backing
            && backing.contains(&*dir)
        {
            found.push(format!("{}: {}", entry.path().display(), backing.trim()));
        }
    }
    // Cgroups are named after the cell's id, and other cells may be running.
    let seal = fs::read(Path::new(&*dir).join("root.seal")).unwrap_or_default();
    let seal: Value = serde_json::from_slice(&seal).unwrap_or_default();
    let Some(id) = seal["cell"].as_str() else { return found };
    let prefix = format!("sealane-{}", &id[..8]);
    for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
        let Ok(entries) = fs::read_dir(root) else { continue };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found
}

/// Waits until nothing is left behind: the kernel takes namespaces down in its own time.
pub(crate) fn assert_nothing_left(dir: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = leftovers(dir);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left behind: {left:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs named tests under libtest-mimic. A test that needs root is skipped, by name, without it; as
/// root nothing is skipped.
pub(crate) fn main(tests: Vec<(&'static str, fn())>) {
    let arguments = libtest_mimic::Arguments::from_args();
    let root = is_root();
    let trials = tests
        .into_iter()
        .map(|(name, test)| {
            libtest_mimic::Trial::test(name, move || {
                test();
                Ok(())
            })
            .with_ignored_flag(!root)
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}

impl TestCell {
    /// Waits for `up` to end by itself, and gives whether it succeeded.
    pub(crate) fn interrupt_is_over(&mut self) -> bool {
        let Some(mut up) = self.up.take() else { return true };
        let deadline = Instant::now() + READY_MAX;
        loop {
            if let Some(status) = up.process.try_wait().unwrap() {
                return status.success();
            }
            assert!(Instant::now() < deadline, "up goes on: {}", up.output.lock().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The pid of the child that runs `role`, as its command line says.
    pub(crate) fn child(&self, role: &str) -> u32 {
        let deadline = Instant::now() + READY_MAX;
        loop {
            for pid in self.processes(self.pid()) {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let arguments: Vec<_> = line.split(|byte| *byte == 0).collect();
                if arguments.get(1) == Some(&&b"__child"[..])
                    && arguments.get(2) == Some(&role.as_bytes())
                {
                    return pid;
                }
            }
            assert!(Instant::now() < deadline, "no child runs as {role}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
