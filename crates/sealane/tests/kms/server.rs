//! A `sealane kms serve` of its own for each test.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long a server may take to serve. Far more than it needs: a slow machine is no fault.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long a client program may take.
const CLIENT_MAX: Duration = Duration::from_secs(300);

pub(crate) const PLAINTEXT: &[&str] = &["--plaintext"];

pub(crate) struct Server {
    pub(crate) folder: tempfile::TempDir,
    /// What it was told beside where to listen.
    arguments: Vec<String>,
    pub(crate) url: String,
    process: Child,
}

impl Server {
    /// With the tenants `acme` and `globex`.
    pub(crate) fn start(arguments: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let folder = tempfile::Builder::new().prefix("sealane-kms-").tempdir().unwrap();
        let dir = folder.path().join("sealane.d");
        let run = |arguments: &[&str]| ok(sealane(&dir).args(arguments));
        let place = ["--account", "123456789012", "--region", "us-east-1"];
        run(&[&["init", "--seal", "keyfile"][..], &place].concat());
        run(&["tenant", "create", "acme"]);
        run(&["tenant", "create", "globex"]);
        let arguments = arguments(folder.path());
        let (process, url) = serve(folder.path(), "127.0.0.1:0", &arguments);
        Self { folder, arguments, url, process }
    }

    pub(crate) fn plaintext() -> Self {
        Self::start(|_| PLAINTEXT.iter().map(|&one| one.to_owned()).collect())
    }

    /// A command of the binary on this server's DIR.
    pub(crate) fn sealane(&self) -> Command {
        sealane(&self.dir())
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.path().join("sealane.d")
    }

    /// Id and secret of a new access key.
    pub(crate) fn credential(&self, name: &str) -> (String, String) {
        let create = ["kms", "credential", "create", name, "--output", "json"];
        let made: serde_json::Value =
            serde_json::from_str(&ok(self.sealane().args(create))).unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("access_key_id"), text("secret_access_key"))
    }

    /// SIGKILL, and another process in its place, at the same address, once `between` is done.
    pub(crate) fn restart_after(&mut self, between: impl FnOnce(&Self)) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        between(self);
        let address = self.url.split("://").nth(1).unwrap().to_owned();
        (self.process, self.url) = serve(self.folder.path(), &address, &self.arguments);
    }

    /// `command`, told where the server is, and nothing of whoever runs this test.
    pub(crate) fn client(&self, mut command: Command) -> Command {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        command
            .env("KMS_ENDPOINT", &self.url)
            .env("KMS_FOLDER", self.folder.path())
            .env("SEALANE", env!("CARGO_BIN_EXE_sealane"))
            .env("SEALANE_DIR", self.dir())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("NO_PROXY", "127.0.0.1")
            .current_dir(self.folder.path());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn sealane(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealane"));
    command.env("SEALANE_DIR", dir).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

fn serve(folder: &Path, listen: &str, arguments: &[String]) -> (Child, String) {
    let errors = folder.join("server-stderr");
    let log = std::fs::File::options().append(true).create(true).open(&errors).unwrap();
    let mut process = sealane(&folder.join("sealane.d"))
        .args(["kms", "serve", "--listen", listen])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let (sender, lines) = mpsc::channel();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    std::thread::spawn(move || {
        let mut line = String::new();
        while output.read_line(&mut line).is_ok_and(|read| read > 0) {
            let _ = sender.send(std::mem::take(&mut line));
        }
    });
    let said = lines.recv_timeout(READY_MAX).unwrap_or_default();
    let Some(url) = said.trim().strip_prefix("listening on ") else {
        let _ = process.kill();
        let _ = process.wait();
        panic!("it does not serve: {said}{}", std::fs::read_to_string(&errors).unwrap_or_default());
    };
    (process, url.to_owned())
}

/// Runs a command that must succeed, and gives its standard output.
pub(crate) fn ok(command: &mut Command) -> String {
    let output = finish(command);
    let said = said(&output);
    assert!(output.status.success(), "{:?} failed:\n{said}", command.get_program());
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

/// Runs a command to its end, which must come in time.
pub(crate) fn finish(command: &mut Command) -> Output {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let process = command.spawn().unwrap_or_else(|error| {
        panic!("{:?} cannot be started: {error}", command.get_program());
    });
    let pid = rustix::process::Pid::from_child(&process);
    let (sender, ended) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if ended.recv_timeout(CLIENT_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    });
    let output = process.wait_with_output().unwrap();
    drop(sender);
    watch.join().unwrap();
    output
}
