//! A whole cell from one file, driven as its users drive it.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{TestCell, assert_nothing_left};

const ACME: &str = "acme.shop.localhost";
const GLOBEX: &str = "globex.shop.localhost";
const SOON: Duration = Duration::from_secs(30);

fn main() {
    support::main(vec![
        ("items_go_in_and_come_out_and_survive_a_restart", items_survive_a_restart),
        ("tenants_see_nothing_of_each_other", tenants_are_apart),
        ("status_and_report_say_what_runs", status_and_report),
        ("a_disabled_key_takes_its_tenant_down_within_5_s", disabled_key),
        ("svids_of_10_s_fail_no_request", short_lived_svids),
        ("killed_children_come_back", killed_children_come_back),
        ("when_the_supervisor_dies_everything_dies", supervisor_death),
        ("the_ingress_refuses_plaintext_and_old_tls", ingress_is_tls_only),
        ("policy_explain_names_the_rule", policy_explain),
        ("service_logs_are_sealed_and_readable", service_logs),
        ("the_logs_of_an_erased_tenant_go_and_no_more_are_written", erased_logs),
        ("a_port_in_use_and_a_second_up_are_clear_errors", clear_errors),
        ("a_key_file_that_others_can_read_is_refused", exposed_key_file),
        ("a_corrupted_store_is_refused_and_left_as_it_is", corrupted_store),
    ]);
}

fn unchanged(cell: String) -> String {
    cell
}

fn running() -> TestCell {
    let mut cell = TestCell::new(unchanged);
    cell.up();
    cell
}

fn items_survive_a_restart() {
    let mut cell = running();
    let client = cell.client(ACME);
    assert_eq!(client.get("/items/anvil").unwrap().status, 404);
    let put = client.put("/items/anvil", b"heavy").unwrap();
    assert!((200..300).contains(&put.status), "{put:?}");
    assert_eq!(client.get("/items/anvil").unwrap().body, b"heavy");

    assert!(cell.interrupt(), "Ctrl-C ends the cell cleanly");
    assert_nothing_left(&cell.dir());
    for _ in 0..2 {
        // While no cell runs, the command opens the volume itself; the next attach must not mind.
        let checked = cell.json(&["volume", "check", "acme/redis"]);
        assert!(checked["ok"] == true && checked["blocks"].as_u64() > Some(0), "{checked}");
    }
    cell.up();
    assert_eq!(cell.client(ACME).get("/items/anvil").unwrap().body, b"heavy");
    cell.ok(&["down"]);
    assert!(cell.interrupt_is_over());
    assert_nothing_left(&cell.dir());
}

fn tenants_are_apart() {
    let mut cell = running();
    cell.client(ACME).put("/items/plan", b"acme's").unwrap();
    assert_eq!(cell.client(GLOBEX).get("/items/plan").unwrap().status, 404);
    cell.client(GLOBEX).put("/items/plan", b"globex's").unwrap();
    assert_eq!(cell.client(ACME).get("/items/plan").unwrap().body, b"acme's");

    // globex's engine on acme's segments: its key opens none of them.
    assert!(cell.interrupt());
    let volumes = cell.dir().join("volumes");
    let names: Vec<_> = fs::read_dir(&volumes).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(names.len(), 2);
    let aside = volumes.join("aside");
    fs::rename(&names[0], &aside).unwrap();
    fs::rename(&names[1], &names[0]).unwrap();
    fs::rename(&aside, &names[1]).unwrap();
    cell.start();
    cell.wait_until("both volumes are refused", SOON, |status| {
        let volumes = status["volumes"].as_array().unwrap();
        volumes.iter().all(|v| v["state"] == "failed")
    });
    cell.interrupt();
    fs::rename(&names[0], &aside).unwrap();
    fs::rename(&names[1], &names[0]).unwrap();
    fs::rename(&aside, &names[1]).unwrap();
    cell.up();
    assert_eq!(cell.client(ACME).get("/items/plan").unwrap().body, b"acme's");
    assert_eq!(cell.client(GLOBEX).get("/items/plan").unwrap().body, b"globex's");
}

fn names(value: &Value, key: &str) -> BTreeSet<String> {
    value.as_array().unwrap().iter().map(|v| v[key].as_str().unwrap().to_owned()).collect()
}

fn status_and_report() {
    let mut cell = running();
    for host in [ACME, GLOBEX] {
        cell.client(host).put("/items/a", b"b").unwrap();
    }
    let status = cell.wait_until("the connections are reported", SOON, |status| {
        let connections = status["connections"].as_array().unwrap();
        connections.len() >= 7
            && connections
                .iter()
                .all(|c| c["from"] == "outside" || c["bytes"].as_u64().unwrap() > 0)
            && status["volumes"]
                .as_array()
                .unwrap()
                .iter()
                .all(|v| v["bytes_sealed"].as_u64().unwrap() > 0)
    });
    assert_eq!(names(&status["services"], "name").len(), 3);
    assert_eq!(status["services"].as_array().unwrap().len(), 6);
    for service in status["services"].as_array().unwrap() {
        assert_eq!(service["state"], "ready");
        assert!(service["pid"].as_u64().is_some_and(|pid| pid > 1));
        let identity = service["identity"].as_str().unwrap();
        assert!(identity.starts_with("spiffe://shop.example/ns/"), "{identity}");
    }
    for connection in status["connections"].as_array().unwrap() {
        if connection["from"] == "outside" {
            continue;
        }
        assert_eq!(connection["cipher"], "TLS_AES_256_GCM_SHA384");
    }
    let warnings = status["warnings"].to_string();
    assert!(warnings.contains("key file") && warnings.contains("anchor"), "{warnings}");

    let report = cell.ok(&["report", "--output", "json"]);
    let file = cell.folder.path().join("report.json");
    fs::write(&file, &report).unwrap();
    let file = file.to_str().unwrap();
    cell.ok(&["report", "verify", file, "--dir", cell.dir().to_str().unwrap()]);
    let forged = report.replacen("shop", "shed", 1);
    assert_ne!(forged, report);
    fs::write(file, forged).unwrap();
    let refused = cell.fails(&["report", "verify", file]);
    assert!(refused.contains("signature"), "{refused}");

    for arguments in
        [&["volume", "list"][..], &["svid", "list"], &["key", "list"], &["tenant", "list"]]
    {
        let listed = cell.json(arguments);
        assert!(!listed.as_array().unwrap().is_empty(), "{arguments:?}");
    }
    let checked = cell.ok(&["volume", "check", "acme/redis"]);
    assert!(!checked.is_empty());
}

fn key_of(cell: &TestCell, tenant: &str) -> String {
    let keys = cell.json(&["key", "list"]);
    let keys = keys.as_array().unwrap();
    keys.iter().find(|key| key["tenant"] == tenant).unwrap()["id"].as_str().unwrap().to_owned()
}

fn volume_state(status: &Value, tenant: &str) -> String {
    let volumes = status["volumes"].as_array().unwrap();
    volumes.iter().find(|v| v["tenant"] == tenant).unwrap()["state"].as_str().unwrap().to_owned()
}

fn disabled_key() {
    let mut cell = running();
    cell.client(ACME).put("/items/a", b"kept").unwrap();
    let key = key_of(&cell, "acme");
    let disabled_at = Instant::now();
    cell.ok(&["key", "disable", &key]);
    cell.wait_until("acme's volume is gone", Duration::from_secs(5), |status| {
        volume_state(status, "acme") == "key-disabled"
    });
    assert!(disabled_at.elapsed() < Duration::from_secs(5), "{:?}", disabled_at.elapsed());
    assert_ne!(cell.client(ACME).get("/items/a").unwrap().status, 200);
    let other = cell.client(GLOBEX).put("/items/a", b"untouched").unwrap();
    assert!((200..300).contains(&other.status), "{other:?}");

    cell.ok(&["key", "enable", &key]);
    cell.wait_until("acme is back", SOON, |status| status["ready"] == true);
    assert_eq!(cell.client(ACME).get("/items/a").unwrap().body, b"kept");

    // acme's engine began while globex's disk was mounted, and must not keep it so.
    cell.ok(&["key", "disable", "globex"]);
    cell.wait_until("globex's volume is gone", Duration::from_secs(5), |status| {
        volume_state(status, "globex") == "key-disabled"
    });
    for pid in cell.processes(cell.pid()) {
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        assert!(!mounts.contains("mnt/globex.redis"), "process {pid} keeps it mounted: {mounts}");
    }
}

fn short_lived_svids() {
    let mut cell = TestCell::new(|file| file.replacen("[cell]", "[cell]\nsvid_ttl = \"10s\"", 1));
    cell.up();
    let serials = |status: &Value| {
        let all = status["certificates"].as_array().unwrap();
        let svids = all.iter().filter(|c| c["identity"].as_str().unwrap().starts_with("spiffe:"));
        svids.map(|c| c["serial"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let first = serials(&cell.status().unwrap());
    let client = cell.client(ACME);
    let until = Instant::now() + Duration::from_secs(support::count(25, 120) as u64);
    let mut connection = client.connect().unwrap();
    let mut requests = 0_u32;
    while Instant::now() < until {
        // Both kinds of traffic: a connection that outlives certificates, and new ones.
        let path = format!("/items/{}", requests % 100);
        let put = connection.request("PUT", &path, b"x").unwrap();
        assert!((200..300).contains(&put.status), "request {requests}: {put:?}");
        let get = client.get(&path).unwrap();
        assert_eq!(get.status, 200, "request {requests}: {get:?}");
        requests += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(requests > 100, "only {requests} requests were made");
    assert!(first.is_disjoint(&serials(&cell.status().unwrap())), "every certificate was renewed");
}

fn killed_children_come_back() {
    let mut cell = running();
    cell.client(ACME).put("/items/a", b"kept").unwrap();
    for role in ["control", "proxy acme/web", "volume acme/redis", "ingress"] {
        let pid = cell.child(role);
        kill(pid);
        let deadline = Instant::now() + SOON;
        loop {
            let get = cell.client(ACME).get("/items/a");
            if get.as_ref().is_ok_and(|get| get.status == 200 && get.body == b"kept") {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "after {role} was killed: {get:?}\n{}",
                cell.output()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        cell.wait_until("the cell is ready again", SOON, |status| status["ready"] == true);
        assert_ne!(cell.child(role), pid);
    }
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn supervisor_death() {
    let mut cell = running();
    cell.client(ACME).put("/items/a", b"kept").unwrap();
    let all = cell.processes(cell.pid());
    assert!(all.len() > 20, "a whole cell has many processes: {all:?}");
    kill(cell.pid());
    let deadline = Instant::now() + Duration::from_secs(5);
    while let Some(pid) = all.iter().skip(1).find(|pid| is_running(**pid)) {
        assert!(Instant::now() < deadline, "process {pid} outlived the supervisor");
        std::thread::sleep(Duration::from_millis(20));
    }
    cell.kill_everything();
    cell.up();
    assert_eq!(cell.client(ACME).get("/items/a").unwrap().body, b"kept");
    assert!(cell.interrupt());
    assert_nothing_left(&cell.dir());
}

fn is_running(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.trim_start().starts_with('Z'))
}

fn ingress_is_tls_only() {
    let cell = running();
    let url = format!("http://127.0.0.1:{}/items/a", cell.port);
    let curl = |arguments: &[&str]| {
        let mut command = std::process::Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "10"]).args(arguments);
        command.stdin(Stdio::null()).output().unwrap()
    };
    assert!(!curl(&[&url]).status.success(), "plaintext is refused");
    let bundle = cell.folder.path().join("bundle.pem");
    fs::write(&bundle, cell.ok(&["ca", "bundle"])).unwrap();
    let bundle = bundle.to_str().unwrap();
    let resolve = format!("{ACME}:{}:127.0.0.1", cell.port);
    let url = format!("https://{ACME}:{}/items/a", cell.port);
    for (version, works) in [("--tlsv1.3", true), ("--tls-max=1.2", true), ("--tls-max=1.1", false)]
    {
        let mut arguments = vec!["--cacert", bundle, "--resolve", &resolve, &url];
        match version.split_once('=') {
            Some((name, value)) => arguments.extend([name, value]),
            None => arguments.push(version),
        }
        let output = curl(&arguments);
        assert_eq!(output.status.success(), works, "{version}: {output:?}");
    }
    let other = format!("other.shop.localhost:{}:127.0.0.1", cell.port);
    let url = format!("https://other.shop.localhost:{}/", cell.port);
    assert!(!curl(&["--insecure", "--resolve", &other, &url]).status.success(), "unknown host");
}

fn policy_explain() {
    let cell = running();
    let allowed = cell.ok(&["policy", "explain", "acme/web", "acme/catalog:8080"]);
    assert!(allowed.contains("allowed") && allowed.contains("may_call"), "{allowed}");
    let denied = cell.json(&["policy", "explain", "acme/web", "acme/redis:6379"]);
    assert_eq!(denied["allowed"], false, "{denied}");
    let across = cell.json(&["policy", "explain", "acme/catalog", "globex/redis:6379"]);
    assert_eq!(across["allowed"], false, "{across}");
}

fn service_logs() {
    let cell = running();
    let deadline = Instant::now() + SOON;
    loop {
        let log = cell.ok(&["logs", "acme/redis"]);
        if log.contains("Ready to accept connections") {
            break;
        }
        assert!(Instant::now() < deadline, "redis says that it is ready; the log: {log}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let raw = std::process::Command::new("grep")
        .args(["-rl", "Ready to accept"])
        .arg(cell.dir().join("logs"))
        .output()
        .unwrap();
    assert_eq!(support::text(&raw.stdout), "", "logs are sealed on disk");
}

/// The log files of a tenant's services, and the folders that hold none.
fn logs_of(cell: &TestCell, tenant: &str) -> Vec<PathBuf> {
    let folders =
        fs::read_dir(cell.dir().join("logs")).unwrap().map(|folder| folder.unwrap().path());
    let of = format!("{tenant}.");
    let theirs =
        folders.filter(|folder| folder.file_name().unwrap().to_str().unwrap().starts_with(&of));
    theirs
        .flat_map(|folder| {
            let files: Vec<_> = fs::read_dir(&folder)
                .into_iter()
                .flatten()
                .map(|file| file.unwrap().path())
                .collect();
            if files.is_empty() { vec![folder] } else { files }
        })
        .collect()
}

/// What a process has open below `DIR/logs`, removed or not.
fn logs_open(pid: u32) -> Vec<PathBuf> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let paths = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    paths.filter(|path| path.to_string_lossy().contains("/logs/acme.")).collect()
}

#[track_caller]
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn erased_logs() {
    let mut cell = running();
    let web = |cell: &TestCell| {
        let status = cell.status().unwrap();
        let services = status["services"].as_array().unwrap();
        let web = services.iter().find(|s| s["name"] == "web" && s["tenant"] == "acme").unwrap();
        web["pid"].as_u64().unwrap()
    };
    // As the service itself would, by its own output.
    let pid = web(&cell);
    let say = |text: &str| fs::write(format!("/proc/{pid}/fd/1"), text).unwrap();
    say("said before\n");
    let proxy = cell.child("proxy acme/web");
    eventually("it is logged", || cell.ok(&["logs", "acme/web"]).contains("said before"));
    assert!(!logs_open(proxy).is_empty());
    let others = logs_of(&cell, "globex");
    assert!(others.iter().any(|path| path.is_file()), "{others:?}");

    cell.ok(&["tenant", "erase", "acme", "--yes"]);
    assert_eq!(logs_of(&cell, "acme"), [] as [PathBuf; 0], "they are gone on return");
    eventually("web's proxy lets go of what was removed", || logs_open(proxy).is_empty());
    // The service goes on, as does its proxy; what it says is kept nowhere.
    let much = "said later, and more than a pipe holds\n".repeat(10_000);
    let began = Instant::now();
    say(&much);
    assert!(began.elapsed() < Duration::from_secs(5), "it is not held up: {:?}", began.elapsed());
    std::thread::sleep(Duration::from_millis(500));
    let nothing = |cell: &TestCell| {
        assert_eq!(logs_of(cell, "acme"), [] as [PathBuf; 0]);
        assert!(logs_open(cell.child("proxy acme/web")).is_empty());
    };
    nothing(&cell);
    // Nor do a new control process and a new proxy begin anew.
    for role in ["control", "proxy acme/web"] {
        let old = cell.child(role);
        kill(old);
        eventually("there is another", || cell.child(role) != old);
        eventually("the cell answers", || cell.status().is_some());
        say(&much);
        std::thread::sleep(Duration::from_millis(500));
        nothing(&cell);
    }
    assert_eq!(web(&cell), pid, "it is still the same process");
    assert_eq!(cell.client(GLOBEX).get("/items/a").unwrap().status, 404);

    // An erasure that was cut short is finished before anything else is started.
    let all = cell.processes(cell.pid());
    cell.kill_everything();
    eventually("nothing of it runs", || !all.iter().any(|pid| is_running(*pid)));
    let left = cell.dir().join("logs/acme.web");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("0000000000.log"), "sealed").unwrap();
    cell.start();
    cell.wait_until("globex is ready", support::READY_MAX, |status| {
        let services = status["services"].as_array().unwrap();
        let theirs: Vec<_> = services.iter().filter(|s| s["tenant"] == "globex").collect();
        theirs.len() == 3 && theirs.iter().all(|s| s["state"] == "ready")
    });
    nothing(&cell);
    assert!(!left.exists());
    assert!(others.iter().all(|path| path.exists()), "{others:?}");
    assert!(cell.interrupt());
}

fn clear_errors() {
    let cell = running();
    let second = cell.fails(&["up", "cell.toml"]);
    assert!(second.contains("already running"), "{second}");
    let mut other = TestCell::new(unchanged);
    let taken = fs::read_to_string(other.cell_file())
        .unwrap()
        .replace(&format!(":{}\"", other.port), &format!(":{}\"", cell.port));
    fs::write(other.cell_file(), taken).unwrap();
    let refused = other.fails(&["up", "cell.toml"]);
    let port = cell.port.to_string();
    assert!(refused.contains(&port) && refused.contains("in use"), "{refused}");
    assert!(refused.contains("cell.toml") && refused.contains("listen"), "{refused}");
    assert_nothing_left(&other.dir());
    other.interrupt();
}

fn exposed_key_file() {
    let mut cell = TestCell::new(unchanged);
    cell.ok(&["init", "--seal", "keyfile"]);
    let key = cell.dir().join("root.key");
    let exposed = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(&key, exposed).unwrap();
    let refused = cell.fails(&["up", "cell.toml"]);
    assert!(refused.contains("chmod 600"), "{refused}");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    cell.up();
}

fn corrupted_store() {
    let mut cell = running();
    assert!(cell.interrupt());
    let store = cell.dir().join("store/cell.redb");
    let whole = fs::read(&store).unwrap();
    let mut flipped = whole.clone();
    for byte in flipped.iter_mut().step_by(512) {
        *byte ^= 0x40;
    }
    fs::write(&store, &flipped).unwrap();
    let refused = cell.fails(&["up", "cell.toml"]);
    assert!(refused.contains("cell.redb"), "{refused}");
    assert_eq!(fs::read(&store).unwrap(), flipped, "the store is left as it was found");
    fs::write(&store, whole).unwrap();
    cell.up();
}
