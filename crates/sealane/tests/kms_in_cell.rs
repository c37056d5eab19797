//! The KMS of a running cell, called by the cell's own services: through their proxies, by their
//! SVIDs.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

#[path = "kms/environment.rs"]
#[expect(dead_code, reason = "no client of this test is of Node")]
mod environment;
#[path = "kms/server.rs"]
#[allow(dead_code, reason = "the KMS is the cell's here")]
mod server;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use environment::Missing;
use libtest_mimic::{Arguments, Trial};
use serde_json::Value;
use support::{TestCell, assert_nothing_left, free_port, text};

const ACME: &str = "acme.kms.localhost";
const GLOBEX: &str = "globex.kms.localhost";
const LONELY: &str = "lonely.kms.localhost";
const SOON: Duration = Duration::from_secs(30);
const OF_ACME: &str = "spiffe://kms.example/ns/acme/sa/agent";
const OF_GLOBEX: &str = "spiffe://kms.example/ns/globex/sa/agent";

const TESTS: &[(&str, fn())] = &[
    ("a_service_uses_its_tenants_keys_and_no_others", tenants_keys),
    ("a_service_that_does_not_name_the_kms_is_refused", unnamed),
    ("a_signature_is_judged_by_itself", signatures),
    ("no_svid_expires_in_a_kept_connection", kept_connections),
    ("the_kms_comes_back_with_its_process", restarts),
];

fn main() {
    let arguments = Arguments::from_args();
    let root = support::is_root();
    let trial = |name: &str, test: Box<dyn FnOnce() + Send>| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(!root)
    };
    let mut trials: Vec<_> = TESTS.iter().map(|(name, test)| trial(name, Box::new(test))).collect();
    let python = if arguments.list { Ok(PathBuf::new()) } else { environment::python() };
    trials.push(match python {
        Ok(python) => trial("boto3_needs_no_access_key", Box::new(move || boto3(&python))),
        Err(Missing(why)) => {
            let skipped = trial("boto3_needs_no_access_key", Box::new(|| ()));
            skipped.with_kind(why).with_ignored_flag(true)
        }
    });
    libtest_mimic::run(&arguments, trials).exit();
}

struct KmsCell {
    cell: TestCell,
    kms_port: u16,
}

impl KmsCell {
    fn up() -> Self {
        let kms_port = free_port();
        let mut cell = TestCell::new(|example| {
            let listen = example.lines().find(|line| line.starts_with("listen")).unwrap();
            cell_file(listen, kms_port)
        });
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        for program in ["mesh/agent.py", "kms_in_cell/caller.py"] {
            let name = Path::new(program).file_name().unwrap();
            fs::copy(tests.join(program), cell.folder.path().join(name)).unwrap();
        }
        cell.up();
        Self { cell, kms_port }
    }

    /// Runs Python in the service behind `host`, and gives what it prints.
    fn run(&self, host: &str, code: &str) -> String {
        let code = format!("import caller, base64, time, os, http.client\n{code}");
        let client = self.cell.client(host);
        let answer = client.connect().and_then(|mut c| c.request("POST", "/", code.as_bytes()));
        let answer = answer.unwrap_or_else(|e| panic!("{e}; up said:\n{}", self.cell.output()));
        let said = text(&answer.body);
        assert_eq!(answer.status, 200, "{code}\n{said}\nup said:\n{}", self.cell.output());
        said.trim_end().to_owned()
    }

    fn prints(&self, host: &str, code: &str, expected: &str) {
        let said = self.run(host, code);
        assert_eq!(said, expected, "{code}\nup said:\n{}", self.cell.output());
    }

    fn key_of(&self, tenant: &str) -> String {
        let keys = self.cell.json(&["key", "list"]);
        let keys = keys.as_array().unwrap();
        let key = keys.iter().find(|key| key["tenant"] == tenant).unwrap();
        key["arn"].as_str().unwrap().to_owned()
    }

    /// The lines of the audit trail, once one of them is as asked.
    fn trail(&self, asked: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let exported = self.cell.ok(&["audit", "export"]);
            let lines = exported.lines().filter_map(|line| serde_json::from_str(line).ok());
            let lines: Vec<Value> = lines.collect();
            if let Some(found) = lines.iter().find(|line| asked(line)) {
                return found.clone();
            }
            assert!(Instant::now() < deadline, "the trail lacks a line:\n{exported}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn end(mut self) {
        assert!(self.cell.interrupt());
        assert_nothing_left(&self.cell.dir());
    }
}

fn cell_file(listen: &str, kms_port: u16) -> String {
    format!(
        r#"
[cell]
name = "kms"
trust_domain = "kms.example"
svid_ttl = "10s"

[tenant.acme]
[tenant.globex]

[service.agent]
tenants = ["acme", "globex"]
run = ["python3", "agent.py"]
port = 8080
may_call = ["kms:{kms_port}"]

[service.lonely]
tenants = ["acme"]
run = ["python3", "agent.py"]
port = 8080

[kms]
listen = "127.0.0.1:{kms_port}"

[ingress]
{listen}
route = [
  {{ host = "{ACME}", tenant = "acme", to = "agent:8080" }},
  {{ host = "{GLOBEX}", tenant = "globex", to = "agent:8080" }},
  {{ host = "{LONELY}", tenant = "acme", to = "lonely:8080" }},
]
"#
    )
}

fn is_call(line: &Value, name: &str, by: &str) -> bool {
    line["eventName"] == name && line["userIdentity"].to_string().contains(by)
}

fn tenants_keys() {
    let cell = KmsCell::up();
    let (own, other) = (cell.key_of("acme"), cell.key_of("globex"));
    let port = cell.kms_port;
    cell.prints(
        ACME,
        "print(os.environ['KMS_URL'], os.environ['KMS_ADDR'], os.environ['AWS_ENDPOINT_URL_KMS'])",
        &format!("http://kms:{port} kms:{port} http://kms:{port}"),
    );
    let blob = cell.run(
        ACME,
        &format!(
            "blob = caller.encrypt('{own}', b'attack at dawn')['CiphertextBlob']\n\
             assert caller.decrypt(blob) == b'attack at dawn'\n\
             print(blob)"
        ),
    );
    cell.prints(GLOBEX, &format!("print(caller.decrypt('{blob}'))"), "AccessDeniedException");
    cell.prints(ACME, &format!("print(caller.encrypt('{other}', b'x'))"), "AccessDeniedException");
    cell.prints(GLOBEX, &format!("print(caller.encrypt('{own}', b'x'))"), "AccessDeniedException");

    // Whatever is made by a workload is its tenant's.
    let made = cell.run(ACME, "print(caller.call('CreateKey', {})['KeyMetadata']['KeyId'])");
    cell.prints(
        ACME,
        &format!("print(caller.decrypt(caller.encrypt('{made}', b'x')['CiphertextBlob']))"),
        "b'x'",
    );
    cell.prints(GLOBEX, &format!("print(caller.encrypt('{made}', b'x'))"), "AccessDeniedException");

    let done = cell.trail(|line| is_call(line, "Decrypt", OF_ACME));
    assert!(done["errorCode"].is_null(), "{done}");
    let refused = cell.trail(|line| is_call(line, "Decrypt", OF_GLOBEX));
    assert_eq!(refused["errorCode"], "AccessDeniedException", "{refused}");
    cell.trail(|line| is_call(line, "CreateKey", OF_ACME) && line["errorCode"].is_null());

    let mut cell = cell;
    let seen = cell.cell.wait_until("the connections to the KMS are reported", SOON, |status| {
        let connections = status["connections"].as_array().unwrap();
        let to_kms = |c: &&Value| c["from"] == OF_ACME && c["to"].to_string().contains("//kms:");
        connections.iter().find(to_kms).is_some_and(|c| c["bytes"].as_u64() > Some(0))
    });
    let seen = seen["connections"].to_string();
    assert!(seen.contains("TLS_AES_256_GCM_SHA384") && !seen.contains("NONE"), "{seen}");
    let allowed = cell.cell.ok(&["policy", "explain", "acme/agent", &format!("kms:{port}")]);
    assert!(allowed.contains("`may_call` of agent names kms"), "{allowed}");
    cell.end();
}

fn unnamed() {
    let cell = KmsCell::up();
    let port = cell.kms_port;
    let code = format!(
        "try:\n\
         \x20   print(caller.call('ListKeys', {{}}, connection=caller.connect('kms:{port}')))\n\
         except ConnectionResetError:\n\
         \x20   print('reset')\n\
         print('KMS_URL' in os.environ)"
    );
    cell.prints(LONELY, &code, "reset\nFalse");
    let deadline = Instant::now() + SOON;
    let why = format!("`may_call` of lonely does not name kms:{port}");
    while !cell.cell.output().contains(&why) {
        assert!(Instant::now() < deadline, "nothing says {why}:\n{}", cell.cell.output());
        std::thread::sleep(Duration::from_millis(20));
    }
    // Nor does the socket itself, on the host's loopback, have a way in from a namespace.
    let direct = format!(
        "try:\n\
         \x20   caller.connect('127.0.0.1:{port}').connect()\n\
         except OSError as error:\n\
         \x20   print(type(error).__name__)"
    );
    for host in [LONELY, ACME] {
        cell.prints(host, &direct, "ConnectionRefusedError");
    }
    // Another port of the same name is nobody's.
    let other = format!(
        "try:\n\
         \x20   print(caller.call('ListKeys', {{}}, connection=caller.connect('kms:{}')))\n\
         except OSError as error:\n\
         \x20   print(type(error).__name__)",
        port ^ 1
    );
    cell.prints(ACME, &other, "ConnectionResetError");
    cell.end();
}

/// An SVID neither mends a bad signature nor stands above a good one.
fn signatures() {
    let cell = KmsCell::up();
    let (own, other) = (cell.key_of("acme"), cell.key_of("globex"));
    let made = cell.cell.json(&["kms", "credential", "create", "signer", "--tenant", "globex"]);
    let (id, secret) = (made["access_key_id"].as_str(), made["secret_access_key"].as_str());
    let (id, secret) = (id.unwrap(), secret.unwrap());
    let encrypt = |key: &str, headers: &str| {
        format!(
            "request = {{'KeyId': '{key}', 'Plaintext': 'eA=='}}\n\
             headers = {headers}\n\
             answer = caller.call('Encrypt', request, headers)\n\
             print(answer if isinstance(answer, str) else 'done')"
        )
    };
    let signed =
        |id: &str, secret: &str| format!("caller.signed('Encrypt', request, '{id}', '{secret}')");
    let good = signed(id, secret);
    for (key, headers, expected) in [
        (&own, "{}", "done"),
        // The service is acme's, the signature globex's.
        (&other, &*good, "done"),
        (&own, &*good, "AccessDeniedException"),
        (&own, &*signed(id, "wrong"), "InvalidSignatureException"),
        (&own, &*signed("AKIAIOSFODNN7EXAMPLE", "dummy"), "UnrecognizedClientException"),
        (&own, "{'Authorization': ''}", "MissingAuthenticationTokenException"),
        (&own, "{'Authorization': 'Bearer x'}", "MissingAuthenticationTokenException"),
        (&own, "{'X-Amz-Security-Token': 'x'}", "MissingAuthenticationTokenException"),
    ] {
        cell.prints(ACME, &encrypt(key, headers), expected);
    }
    let by_signature = cell.trail(|line| is_call(line, "Encrypt", "user/globex/signer"));
    assert!(!by_signature.to_string().contains("spiffe://"), "{by_signature}");
    cell.end();
}

/// SVIDs of ten seconds, and one client that keeps its connection as long as it can.
fn kept_connections() {
    let cell = KmsCell::up();
    let own = cell.key_of("acme");
    let said = cell.run(
        ACME,
        &format!(
            "connection, kept, until = caller.connect(), 0, time.monotonic() + 17\n\
             while time.monotonic() < until:\n\
             \x20   try:\n\
             \x20       answer = caller.encrypt('{own}', b'x', connection=connection)\n\
             \x20   except (http.client.RemoteDisconnected, ConnectionResetError):\n\
             \x20       connection.close()\n\
             \x20       connection, kept = caller.connect(), kept + 1\n\
             \x20       continue\n\
             \x20   assert isinstance(answer, dict), answer\n\
             \x20   time.sleep(0.05)\n\
             print(kept)"
        ),
    );
    let closed: u32 = said.parse().unwrap();
    assert!((2..12).contains(&closed), "connections end with their SVIDs: {closed}");
    cell.end();
}

fn restarts() {
    let cell = KmsCell::up();
    let own = cell.key_of("acme");
    for role in ["control", "proxy acme/agent"] {
        let pid = cell.cell.child(role);
        let killed = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        rustix::process::kill_process(killed, rustix::process::Signal::KILL).unwrap();
        let code = format!(
            "try:\n\
             \x20   print(type(caller.encrypt('{own}', b'x')).__name__)\n\
             except OSError as error:\n\
             \x20   print(type(error).__name__)"
        );
        let deadline = Instant::now() + SOON;
        loop {
            let client = cell.cell.client(ACME);
            let code = format!("import caller\n{code}");
            let answer = client.connect().and_then(|mut c| c.request("POST", "/", code.as_bytes()));
            if answer.as_ref().is_ok_and(|answer| text(&answer.body).trim() == "dict") {
                break;
            }
            assert!(Instant::now() < deadline, "{role}: {answer:?}\n{}", cell.cell.output());
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_ne!(cell.cell.child(role), pid);
    }
    cell.end();
}

/// boto3 and all that it imports.
const BOTO3: [&str; 7] =
    ["boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six.py", "urllib3"];

/// As `docs/kms.md` shows it, and on under the SVIDs that follow.
fn boto3(python: &Path) {
    let packages = "import boto3, os; print(os.path.dirname(os.path.dirname(boto3.__file__)))";
    let packages = server::ok(Command::new(python).args(["-c", packages]));
    let cell = KmsCell::up();
    // A service sees the folder of its cell file, and not that of the environment.
    let mut copy = Command::new("cp");
    copy.arg("-r").args(BOTO3.map(|part| Path::new(packages.trim()).join(part)));
    server::ok(copy.arg(cell.cell.folder.path()));
    let own = cell.key_of("acme");
    let code = format!(
        "import boto3\n\
         from botocore import UNSIGNED\n\
         from botocore.config import Config\n\
         config = Config(signature_version=UNSIGNED)\n\
         kms = boto3.client('kms', region_name='us-east-1', config=config)\n\
         blob = kms.encrypt(KeyId='{own}', Plaintext=b'attack at dawn')['CiphertextBlob']\n\
         print(kms.decrypt(CiphertextBlob=blob)['Plaintext'])\n\
         until = time.monotonic() + 12\n\
         while time.monotonic() < until:\n\
         \x20   kms.encrypt(KeyId='{own}', Plaintext=b'x')\n\
         \x20   time.sleep(0.05)"
    );
    cell.prints(ACME, &code, "b'attack at dawn'");
    cell.trail(|line| is_call(line, "Encrypt", OF_ACME));
    cell.end();
}
