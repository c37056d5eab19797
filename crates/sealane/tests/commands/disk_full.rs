//! DIR on a disk without room: a small tmpfs in a mount namespace of its own.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{QUICK, TestCell, WITH_VOLUME, cell_of, said};

const SOON: Duration = Duration::from_secs(60);
/// Room for a store and the first segments of a small volume, and little more.
const DISK: &str = "size=40M";

/// A process that keeps the namespace, and what is run inside.
struct Disk<'c> {
    cell: &'c TestCell,
    keeper: Child,
    at: PathBuf,
}

impl<'c> Disk<'c> {
    fn new(cell: &'c TestCell) -> Self {
        let at = cell.folder.path().join("disk");
        fs::create_dir(&at).unwrap();
        let mut keeper = Command::new("unshare");
        keeper.args(["--mount", "--kill-child", "sh", "-c"]);
        keeper.arg("mount -t tmpfs -o \"$1\" none \"$2\" && echo && exec sleep 1000");
        keeper.args(["sh", DISK]).arg(&at).stdout(Stdio::piped());
        let mut keeper = keeper.spawn().unwrap();
        std::io::Read::read_exact(keeper.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        Self { cell, keeper, at }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let inner = self.cell.sealane(arguments);
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &self.keeper.id().to_string()]);
        command.arg(inner.get_program()).args(inner.get_args());
        command.arg("--dir").arg(self.at.join("cell")).env("NO_COLOR", "1");
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let full = ["disk is full", "No space left", "no space is left"];
        let full = full.iter().any(|words| said.contains(words));
        assert!(full && said.contains("help"), "{said}");
    }

    /// The disk as the test itself reaches it.
    fn path(&self, name: &str) -> PathBuf {
        let root = Path::new("/proc").join(self.keeper.id().to_string()).join("root");
        root.join(self.at.strip_prefix("/").unwrap()).join(name)
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.path("fill")).unwrap();
        let piece = [1; 4096];
        while file.write_all(&piece).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.path("fill")).unwrap();
    }

    fn wait_until(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let output = self.run(&["status", "--output", "json"]);
            let status = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
            if condition(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{what}: {status} {}", said(&output));
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A cell that does not outlive its test.
struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = self.run(&["down"]);
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// redis-cli inside the namespace of the service.
fn redis(status: &Value, arguments: &[&str]) -> String {
    let services = status["services"].as_array().unwrap();
    let pid = services.iter().find(|s| s["name"] == "redis").unwrap()["pid"].clone();
    let output = Command::new("nsenter")
        .args(["--net", "--target", &pid.to_string(), "redis-cli", "-p", "6379"])
        .args(arguments)
        .output()
        .unwrap();
    super::support::text(&output.stdout).trim().to_owned()
}

pub(crate) fn nothing_lost() {
    let cell = cell_of(&format!("{QUICK}{WITH_VOLUME}"));
    let disk = Disk::new(&cell);
    // Whole, since entering a mount namespace begins at its root.
    let file = cell.cell_file();
    let file = file.to_str().unwrap();
    disk.fill();
    disk.refused(&["init"]);
    disk.refused(&["up", file]);
    disk.free();
    assert!(disk.run(&["init"]).status.success(), "what could not be finished is begun anew");
    disk.fill();
    disk.refused(&["tenant", "create", "acme"]);
    // Where the change was cut off in the audit trail, its outcome has to be written first.
    if !disk.run(&["status"]).status.success() {
        disk.refused(&["status"]);
    }
    disk.free();

    let mut up = Up(disk.command(&["up", file]).stdout(Stdio::null()).spawn().unwrap());
    let status = disk.wait_until("ready", |status| status["ready"] == true);
    assert_eq!(redis(&status, &["set", "before", "kept"]), "OK");
    disk.fill();
    // Written until it is refused: whatever was acknowledged until then counts.
    let value = "v".repeat(64 << 10);
    let acknowledged = (0..2000)
        .take_while(|number| {
            // Random enough that nothing on the way could make it smaller.
            let value = format!("{number}{value}");
            redis(&status, &["set", &format!("k{number}"), &value]) == "OK"
        })
        .count();
    assert!(acknowledged < 2000, "the disk was never full");
    // The store may have a free page left, but not for long.
    let created = (0..200).take_while(|number| {
        disk.run(&["tenant", "create", &format!("t{number}")]).status.success()
    });
    let created = created.count();
    assert!(created < 200, "the store still grows");
    disk.refused(&["tenant", "create", "one-more"]);
    let status = disk.wait_until("status answers", |status| status["services"].is_array());
    let idle = status["services"].as_array().unwrap().iter().find(|s| s["name"] == "idle").unwrap();
    assert_eq!((&idle["state"], &idle["restarts"]), (&"ready".into(), &0.into()), "{status}");
    assert!(up.0.try_wait().unwrap().is_none(), "the cell is alive");

    disk.free();
    assert!(disk.run(&["tenant", "create", "globex"]).status.success());
    let tenants = disk.run(&["tenant", "list", "--output", "json"]);
    let tenants: Value = serde_json::from_slice(&tenants.stdout).unwrap();
    assert_eq!(tenants.as_array().unwrap().len(), created + 2, "acme, those, and globex");
    let deadline = Instant::now() + SOON;
    loop {
        let status = disk.wait_until("ready again", |status| status["ready"] == true);
        if redis(&status, &["set", "after", "kept"]) == "OK" {
            break;
        }
        assert!(Instant::now() < deadline, "nothing can be written again: {status}");
        std::thread::sleep(Duration::from_millis(200));
    }
    let status = disk.wait_until("ready", |status| status["ready"] == true);
    assert_eq!(redis(&status, &["get", "before"]), "kept");
    for number in 0..acknowledged {
        let length = redis(&status, &["strlen", &format!("k{number}")]);
        assert_eq!(length, (number.to_string().len() + value.len()).to_string(), "k{number}");
    }
    let check = disk.run(&["volume", "check", "redis"]);
    assert!(check.status.success(), "{}", said(&check));
    assert!(disk.run(&["down"]).status.success());
    assert!(up.0.wait().unwrap().success());
    let check = disk.run(&["volume", "check", "redis"]);
    assert!(check.status.success(), "{}", said(&check));
}
