//! Commands beside a running cell, and cells that do not come up.

use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::support::{self, TestCell, assert_nothing_left};
use super::{QUICK, WITH_VOLUME, cell_of, refused};

const SOON: Duration = Duration::from_secs(30);
/// What a person at a terminal takes for "at once"; far more than `status` needs.
const STATUS_MAX: Duration = Duration::from_millis(200);

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

pub(crate) fn anchor_elsewhere() {
    let mut cell = cell_of(QUICK);
    // Nobody but root may even look in there, and control runs under a uid of its own.
    let outside = cell.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::set_permissions(&outside, Permissions::from_mode(0o700)).unwrap();
    cell.ok(&["init", "--anchor", "outside/anchor", "--account", "123456789012"]);
    let anchor = outside.join("anchor");
    let before = fs::read(&anchor).unwrap();
    cell.up();
    let up = fs::read(&anchor).unwrap();
    assert_ne!(up, before, "starting a cell changes its store");
    let control = cell.child("control");
    let uid = fs::metadata(format!("/proc/{control}")).map(|_| uid_of(control)).unwrap();
    assert_ne!(uid, 0, "control is not root");
    cell.ok(&["tenant", "create", "globex"]);
    assert_ne!(fs::read(&anchor).unwrap(), up);

    // The next control process takes over where this one was killed.
    signal(control, Signal::KILL);
    cell.wait_until("control is back", SOON, |status| status["ready"] == true);
    cell.ok(&["tenant", "create", "initech"]);
    // What the cell file names was adopted, what init was told stays.
    let keys = cell.json(&["key", "list"]);
    assert!(keys[0]["arn"].as_str().unwrap().contains(":123456789012:"), "{keys}");
    let identity = cell.status().unwrap()["services"][0]["identity"].clone();
    assert_eq!(identity, "spiffe://quick.example/ns/acme/sa/idle");
    assert!(cell.output().contains("has the account 123456789012, which stays"));
    let started = Instant::now();
    cell.ok(&["status"]);
    assert!(started.elapsed() < STATUS_MAX, "status took {:?}", started.elapsed());
    assert!(cell.interrupt());

    let store = cell.dir().join("store/cell.redb");
    let old = fs::read(&store).unwrap();
    cell.ok(&["tenant", "create", "umbrella"]);
    let new = fs::read(&store).unwrap();
    fs::write(&store, &old).unwrap();
    refused(&cell, &["up", "cell.toml"], 1, &["rolled back", "transaction", "cell.redb"]);
    refused(&cell, &["status"], 1, &["rolled back"]);
    assert_eq!(fs::read(&store).unwrap(), old);
    fs::write(&store, &new).unwrap();
    fs::rename(&anchor, outside.join("away")).unwrap();
    refused(&cell, &["up", "cell.toml"], 1, &["no anchor at", anchor.to_str().unwrap()]);
    fs::rename(outside.join("away"), &anchor).unwrap();
    cell.up();
    assert!(cell.interrupt());
}

fn uid_of(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

pub(crate) fn contradictions() {
    let cell = cell_of(QUICK);
    cell.ok(&["init", "--trust-domain", "other.example"]);
    let words = ["other.example", "cell.toml:4", "trust_domain = \"quick.example\"", "--dir"];
    refused(&cell, &["up", "cell.toml"], 1, &words);
    let faults = [
        ("[service.idle]", "[service.idle]\nprot = 1", "cell.toml:10"),
        ("[service.idle]", "[service.idle]\nmay_call = [\"gone:80\"]", "gone"),
        ("\"1000\"]", "\"1000\"]\nvolume = { name = \"v\", size = \"1000\", at = \"/v\" }", "size"),
        ("\"1000\"]", "\"1000\"]\nport = 99999", "99999"),
        ("tenants = [\"acme\"]", "tenants = [\"nobody\"]", "nobody"),
        ("[tenant.acme]", "[tenant.acme", "cell.toml:7"),
    ];
    for (good, bad, word) in faults {
        fs::write(cell.cell_file(), QUICK.replacen(good, bad, 1)).unwrap();
        refused(&cell, &["up", "cell.toml"], 1, &["cell.toml", word, "help"]);
    }
    assert_nothing_left(&cell.dir());
}

pub(crate) fn failing_services() {
    let text = format!(
        "{QUICK}{WITH_VOLUME}
[service.short]
tenants = [\"acme\"]
run = [\"sh\", \"-c\", \"echo its last words; exit 3\"]

[service.deaf]
tenants = [\"acme\"]
run = [\"sh\", \"-c\", \"echo deaf; exec sleep 1000\"]
port = 99
ready = {{ tcp = 99, timeout = \"300ms\" }}

[service.lost]
tenants = [\"acme\"]
run = [\"no-such-program\"]
"
    );
    let mut cell = cell_of(&text);
    cell.start();
    let status = cell.wait_until("each has failed twice", SOON, |status| {
        ["short", "deaf", "lost"].iter().all(|name| {
            service(status, name)["restarts"].as_u64() > Some(1)
                && service(status, name)["reason"].is_string()
        }) && ["redis", "idle"].iter().all(|name| service(status, name)["state"] == "ready")
    });
    for (name, why) in
        [("short", "code 3"), ("deaf", "port 99 within 300ms"), ("lost", "no-such-program")]
    {
        let reason = service(&status, name)["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(why), "{name}: {reason}");
    }
    assert_eq!(status["ready"], false);
    // What a service said before it failed is what explains it, so it is there.
    for (name, line) in [("short", "its last words\n"), ("deaf", "deaf\n")] {
        assert!(cell.ok(&["logs", name]).contains(line), "{name}");
        assert_eq!(cell.ok(&["logs", name, "-n", "1"]), line);
    }
    assert_eq!(cell.ok(&["logs", "short", "-n", "0"]), "");
    refused(&cell, &["logs", "gone"], 1, &["no service `gone`", "acme/short"]);
    let mut follow =
        cell.sealane(&["logs", "short", "-f", "-n", "0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 15];
    follow.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"its last words\n");
    follow.kill().unwrap();
    follow.wait().unwrap();
    assert!(cell.interrupt());
    assert_nothing_left(&cell.dir());

    // Services go and come, and a volume keeps its size.
    let other = WITH_VOLUME.replace("64MiB", "128MiB");
    fs::write(cell.cell_file(), format!("{QUICK}{other}{}", QUICK_TOO)).unwrap();
    cell.start();
    let status = cell.wait_until("the volume is refused", SOON, |status| {
        ["too", "idle"].iter().all(|name| service(status, name)["state"] == "ready")
            && status["volumes"][0]["reason"].is_string()
    });
    let reason = status["volumes"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("67108864") && reason.contains("`size`"), "{reason}");
    assert!(service(&status, "short").is_null());
    assert!(cell.interrupt());
    fs::write(cell.cell_file(), format!("{QUICK}{WITH_VOLUME}")).unwrap();
    cell.up();
    assert!(cell.interrupt());
    assert!(cell.ok(&["logs", "acme/short"]).contains("last words"), "logs outlive their service");
}

const QUICK_TOO: &str = "
[service.too]
tenants = [\"acme\"]
run = [\"sleep\", \"1000\"]
";

fn service<'s>(status: &'s Value, name: &str) -> &'s Value {
    let services = status["services"].as_array().unwrap();
    services.iter().find(|service| service["name"] == name).unwrap_or(&Value::Null)
}

fn first_segment(cell: &TestCell) -> PathBuf {
    let volume = fs::read_dir(cell.dir().join("volumes")).unwrap().next().unwrap().unwrap().path();
    volume.join("segment-00000000")
}

pub(crate) fn damaged_volume() {
    let mut cell = cell_of(&format!("{QUICK}{WITH_VOLUME}"));
    cell.up();
    assert_eq!(cell.json(&["volume", "check", "redis"])["ok"], true);
    assert!(cell.interrupt());
    let whole = cell.json(&["volume", "check", "acme/redis"]);
    assert_eq!(whole["ok"], true);
    assert!(whole["blocks"].as_u64() > Some(10), "{whole}");
    assert_eq!(cell.json(&["volume", "check", "redis"]), whole, "a check changes nothing");

    let segment = first_segment(&cell);
    let good = fs::read(&segment).unwrap();
    let (mut by_block, mut by_log) = (0, 0);
    for at in (4096..256 << 10).step_by(8 << 10) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&segment, bad).unwrap();
        let output = cell.run(&["volume", "check", "redis", "--output", "json"]);
        let check: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.success(), check["ok"] == true);
        if check["ok"] == false {
            assert_eq!(output.status.code(), Some(1));
            let fault = check["faults"][0].as_str().unwrap();
            assert!(fault.contains("segment 0"), "{fault}");
            if fault.starts_with("block ") { by_block += 1 } else { by_log += 1 }
        }
    }
    assert!(by_block > 3, "{by_block} blocks and {by_log} places in the log were damaged");
    fs::write(&segment, &good).unwrap();
    assert_eq!(cell.json(&["volume", "check", "redis"])["ok"], true);

    let folder = segment.parent().unwrap();
    let aside = folder.with_extension("aside");
    fs::rename(folder, &aside).unwrap();
    refused(&cell, &["volume", "check", "redis"], 1, &["missing", "damaged"]);
    fs::rename(&aside, folder).unwrap();
    cell.up();
    assert_eq!(cell.json(&["volume", "check", "redis"])["ok"], true);
    assert!(cell.interrupt());
}

pub(crate) fn reports() {
    let mut cell = cell_of(QUICK);
    cell.up();
    let file = cell.folder.path().join("report.json");
    let key = cell.folder.path().join("key.pem");
    let report = cell.ok(&["report", "--output", "json"]);
    fs::write(&file, &report).unwrap();
    fs::write(&key, cell.ok(&["report", "key"])).unwrap();
    assert!(cell.json(&["report", "key"])["key"].as_str().unwrap().contains("PUBLIC KEY"));
    let (file, key) = (file.to_str().unwrap(), key.to_str().unwrap());
    let verify = ["report", "verify", file, "--key", key];
    assert!(cell.interrupt());
    let content = cell.json(&verify);
    assert_eq!(content["trust_domain"], "quick.example");
    assert!(!content["not_protected"].as_array().unwrap().is_empty());
    cell.ok(&["report", "verify", file]);

    let other = cell_of(QUICK);
    other.ok(&["init"]);
    let foreign = other.folder.path().join("key.pem");
    fs::write(&foreign, other.ok(&["report", "key"])).unwrap();
    let with_foreign = ["report", "verify", file, "--key", foreign.to_str().unwrap()];
    refused(&cell, &with_foreign, 1, &["another cell signed it"]);
    refused(&other, &["report", "verify", file], 1, &["another cell signed it"]);
    fs::write(&foreign, cell.ok(&["ca", "bundle"])).unwrap();
    refused(&cell, &with_foreign, 1, &["no public key in PEM", "sealane report key"]);
    refused(&cell, &["report", "verify", "gone.json", "--key", key], 1, &["gone.json"]);
    fs::write(file, report.replacen("quick", "quack", 1)).unwrap();
    refused(&cell, &verify, 1, &["the report was changed"]);
    fs::write(file, "{}").unwrap();
    refused(&cell, &verify, 1, &["no report"]);
}

/// Whether whoever started this process has SIGHUP, which is the lowest bit, ignored.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 == 1
}

pub(crate) fn ends() {
    let mut cell = cell_of(&format!("{QUICK}{WITH_VOLUME}"));
    let started = Instant::now();
    cell.up();
    eprintln!("up to ready took {:?}", started.elapsed());
    refused(&cell, &["up", "cell.toml"], 1, &["already running", "sealane down"]);
    refused(&cell, &["init"], 1, &["there is a cell"]);

    // A reader that has seen enough is no failure.
    let mut status = cell.sealane(&["status"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(status.stdout.take());
    assert!(status.wait().unwrap().success());

    // Started under `nohup`, as these tests may be, it is to go on after a SIGHUP.
    let hangs_up = !ignores_hangup();
    for end in [Signal::TERM].into_iter().chain(hangs_up.then_some(Signal::HUP)) {
        signal(cell.pid(), end);
        assert!(cell.interrupt_is_over(), "{end:?} ends the cell in order");
        assert_nothing_left(&cell.dir());
        cell.up();
    }
    cell.kill_everything();
    let down = cell.run(&["down"]);
    assert!(down.status.success(), "{}", super::said(&down));
    assert_nothing_left(&cell.dir());
    let left = super::said(&down);
    assert!(left.contains("no cell runs here"), "{left}");
    assert!(!cell.dir().join("run/control.sock").exists());

    // Of two at once, one runs.
    let other = cell.sealane(&["up", "cell.toml"]).stderr(Stdio::piped()).spawn().unwrap();
    cell.start();
    cell.wait_until_either_runs(other);
    cell.ok(&["down"]);
    assert_nothing_left(&cell.dir());
    cell.up();
    // A second Ctrl-C does not wait for order; the next start cleans up.
    signal(cell.pid(), Signal::INT);
    std::thread::sleep(Duration::from_millis(20));
    signal(cell.pid(), Signal::INT);
    cell.interrupt_is_over();
    cell.up();
    assert!(cell.interrupt());
    assert_nothing_left(&cell.dir());
}

impl TestCell {
    /// One of `self`'s own `up` and `other` comes up, and the other says why not.
    fn wait_until_either_runs(&mut self, mut other: std::process::Child) {
        let deadline = Instant::now() + SOON;
        while self.status().is_none_or(|status| status["ready"] != true) {
            assert!(Instant::now() < deadline, "neither came up: {}", self.output());
            std::thread::sleep(Duration::from_millis(50));
        }
        let loser = loop {
            if let Some(ended) = other.try_wait().unwrap() {
                let mut said = String::new();
                other.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                break (ended.success(), said);
            }
            if self.output().contains("already running") {
                // Ours lost: the other one goes with `down`.
                let said = self.output();
                break (self.interrupt_is_over(), said);
            }
            assert!(Instant::now() < deadline, "both run: {}", self.output());
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(!loser.0 && loser.1.contains("already running"), "{loser:?}");
        self.ok(&["down"]);
        self.interrupt_is_over();
        let _ = other.wait();
        let _ = support::text(b"");
    }
}

pub(crate) fn erasure() {
    let two = "[tenant.acme]\n\n[tenant.globex]\n";
    let text = QUICK
        .replace("[tenant.acme]\n", two)
        .replace("tenants = [\"acme\"]", "tenants = [\"globex\"]");
    let mut cell = cell_of(&format!("{text}{WITH_VOLUME}"));
    cell.up();
    let erased = cell.json(&["tenant", "erase", "acme", "--yes"]);
    assert!(erased["store_rewritten"].is_string(), "{erased}");
    let stopped = |status: &Value| {
        let volume = &status["volumes"][0];
        let services = status["services"].as_array().unwrap();
        let ready = services.iter().any(|one| one["name"] == "idle" && one["state"] == "ready");
        volume["state"] == "key-disabled" && ready
    };
    cell.wait_until("the volume has stopped and the other tenant goes on", SOON, stopped);
    cell.ok(&["tenant", "create", "initech"]);
    assert!(cell.ok(&["audit", "tail"]).contains("EraseTenant"));
    // Control opens the new file, which is its own as the old one was.
    signal(cell.child("control"), Signal::KILL);
    cell.wait_until("control is back", SOON, stopped);
    assert!(cell.interrupt());

    cell.start();
    cell.wait_until("it runs without the volume", SOON, stopped);
    assert!(cell.output().contains("tenant acme was erased at"), "{}", cell.output());
    assert_eq!(cell.json(&["volume", "list"])[0]["state"], "key-disabled");
    cell.ok(&["audit", "verify"]);
    assert!(cell.interrupt());
    assert_nothing_left(&cell.dir());
}

const OF_A_USER: &str = r#"
[service.alices]
tenants = ["acme"]
run = ["redis-server", "redis.conf", "--dir", "/data"]
port = 6379
volume = { name = "alices", size = "64MiB", at = "/data", user = "alice" }
"#;

/// A user's volume lies under a key of the user's: it stops with that and with the tenant's, and
/// goes with the user.
pub(crate) fn volume_of_a_user() {
    let mut cell = cell_of(&format!("{QUICK}{WITH_VOLUME}{OF_A_USER}"));
    cell.up();
    let are = |status: &Value, alices: &str, others: &str| {
        let volumes = status["volumes"].as_array().unwrap();
        let state =
            |name: &str| volumes.iter().find(|one| one["name"] == name).unwrap()["state"].clone();
        state("alices") == alices && state("redis") == others
    };
    for (key, others) in [("acme/alice", "attached"), ("acme", "key-disabled")] {
        cell.ok(&["key", "disable", key]);
        cell.wait_until("alice's volume is gone", SOON, |status| {
            are(status, "key-disabled", others)
        });
        cell.ok(&["key", "enable", key]);
        cell.wait_until("both are back", SOON, |status| are(status, "attached", "attached"));
    }
    assert!(cell.interrupt());

    // It does not become somebody else's.
    let text = fs::read_to_string(cell.cell_file()).unwrap();
    fs::write(cell.cell_file(), text.replace("user = \"alice\"", "user = \"bob\"")).unwrap();
    cell.start();
    cell.wait_until("it is refused", SOON, |status| {
        let volumes = status["volumes"].as_array().into_iter().flatten();
        let mut reasons = volumes.filter_map(|one| one["reason"].as_str());
        reasons.any(|why| why.contains("belongs to user alice"))
    });
    assert!(cell.interrupt());
    fs::write(cell.cell_file(), text).unwrap();

    cell.up();
    cell.ok(&["user", "erase", "acme/alice", "--yes"]);
    cell.wait_until("it is gone for good", SOON, |status| are(status, "key-disabled", "attached"));
    assert!(cell.interrupt());
    cell.start();
    cell.wait_until("so it stays", SOON, |status| are(status, "key-disabled", "attached"));
    assert!(cell.interrupt());
}
