//! The KMS as its users see it: the programs of AWS and of others, made for AWS KMS, against
//! `sealane kms serve`. What they do is in `kms/clients/`; each has a server of its own here.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

#[path = "kms/environment.rs"]
mod environment;
#[path = "kms/server.rs"]
mod server;
#[path = "kms/suites.rs"]
mod suites;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use environment::Missing;
use libtest_mimic::{Arguments, Trial};
use server::{PLAINTEXT, Server, finish, ok, said, sealane};

fn main() {
    let arguments = Arguments::from_args();
    let (python, node) = if arguments.list {
        (Ok(PathBuf::new()), Ok(PathBuf::new()))
    } else {
        (environment::python(), environment::node())
    };
    let mut trials = suites::trials(&python, &arguments);
    trials.push(trial("aws_cli", &python, aws_cli));
    trials.push(trial("the_page_in_five_minutes", &python, page));
    trials.push(trial("boto3::over_tls", &python, over_tls));
    trials.push(trial("boto3::kills_lose_nothing_acknowledged", &python, kills));
    trials.push(trial("boto3::sessions_end", &python, sessions_end));
    trials.push(trial("javascript_sdk", &node, javascript));
    if std::env::var_os("SEALANE_FULL").is_some() {
        // It takes minutes to build.
        trials.push(trial("rust_sdk", &Ok(PathBuf::new()), |_| rust()));
    }
    trials.push(trial("plaintext_is_for_loopback", &Ok(PathBuf::new()), |_| loopback()));
    trials.push(trial("shares_come_by_a_pipe", &Ok(PathBuf::new()), |_| shares_by_a_pipe()));
    libtest_mimic::run(&arguments, trials).exit();
}

/// A test that needs something, and is skipped where that could not be had.
fn trial(
    name: &str,
    needed: &Result<PathBuf, Missing>,
    test: impl FnOnce(&Path) + Send + 'static,
) -> Trial {
    match needed.clone() {
        Ok(needed) => Trial::test(name, move || {
            test(&needed);
            Ok(())
        }),
        Err(Missing(why)) => Trial::test(name, || Ok(())).with_kind(why).with_ignored_flag(true),
    }
}

fn python_command(python: &Path, program: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(environment::clients().join(program));
    command
}

fn aws_cli(python: &Path) {
    let server = Server::plaintext();
    let programs = python.parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut bash = Command::new("bash");
    bash.arg(environment::clients().join("cli.sh"));
    bash.env("PATH", format!("{}:{path}", programs.display()));
    ok(&mut server.client(bash));
}

/// What `docs/kms.md` tells a newcomer to type, word for word, but for the port.
fn page(python: &Path) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/kms.md");
    let page = std::fs::read_to_string(docs).unwrap();
    let page = page.split_once("\n## KMS in five minutes\n").unwrap().1;
    let (page, _) = page.split_once("\n## ").unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut script = "set -euo pipefail\ntrap 'kill $server; wait $server' EXIT\n".to_owned();
    for block in page.split("\n```").skip(1).step_by(2) {
        let (language, commands) = block.split_once('\n').unwrap();
        match language {
            // It serves in one terminal, and the rest is typed in another.
            "bash" if commands.contains("sealane kms serve") => script.push_str(&format!(
                "{commands} > served & server=$!\nuntil [ -s served ]; do sleep 0.1; done\n"
            )),
            "bash" => script.push_str(&format!("{commands}\n")),
            "python" => script.push_str(&format!("python3 - <<'END'\n{commands}\nEND\n")),
            other => panic!("a block of {other:?}"),
        }
    }
    let script = script.replace("127.0.0.1:7600", &format!("127.0.0.1:{port}"));
    let folder = tempfile::Builder::new().prefix("sealane-page-").tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_sealane")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{}:{path}", binary.display(), python.parent().unwrap().display());
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(folder.path()).env("PATH", path);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("AWS_") || name.starts_with("SEALANE_") {
            bash.env_remove(&*name);
        }
    }
    let said = ok(&mut bash);
    for expected in ["attack at dawn", "b'attack at dawn'", "CiphertextBlob", "Verified OK"] {
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }
}

fn javascript(modules: &Path) {
    let server = Server::plaintext();
    let (id, secret) = server.credential("javascript-test");
    let mut node = Command::new("node");
    node.arg(environment::clients().join("node.mjs"));
    let mut node = server.client(node);
    node.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret);
    ok(node.env("KMS_MODULES", modules));
}

/// The client is copied and built outside of the workspace, which neither knows it nor shares its
/// dependencies.
fn rust() {
    let place = environment::folder().join("rust");
    std::fs::create_dir_all(place.join("src")).unwrap();
    for (from, to) in [("rust.toml", "Cargo.toml"), ("rust.rs", "src/main.rs")] {
        std::fs::copy(environment::clients().join(from), place.join(to)).unwrap();
    }
    let build = || {
        let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        cargo.args(["build", "--quiet"]).current_dir(&place);
        cargo.env("CARGO_TARGET_DIR", place.join("target"));
        cargo
    };
    ok(&mut build());
    let server = Server::plaintext();
    let (id, secret) = server.credential("rust-test");
    let mut client = server.client(Command::new(place.join("target/debug/kms-client")));
    ok(client.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret));
}

fn over_tls(python: &Path) {
    let mut certificate = PathBuf::new();
    let server = Server::start(|folder| {
        let (chain, key) = (folder.join("kms.pem"), folder.join("kms-key.pem"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args(["-nodes", "-days", "1", "-subj", "/CN=kms test"]);
        openssl.args(["-addext", "subjectAltName=IP:127.0.0.1"]);
        // A certificate of an authority is no server's.
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"]);
        ok(openssl.arg(&key).arg("-out").arg(&chain));
        certificate.clone_from(&chain);
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        vec!["--tls-cert".into(), text(&chain), "--tls-key".into(), text(&key)]
    });
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let mut client = server.client(python_command(python, "tls.py"));
    ok(client.env("KMS_CA", certificate));
}

fn loopback() {
    let server = Server::plaintext();
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let serve = ["kms", "serve", "--listen", listen];
        let output = finish(server.sealane().args(serve).args(PLAINTEXT));
        let said = said(&output);
        assert!(!output.status.success(), "it serves plaintext on {listen}");
        assert!(said.contains("no loopback address, so it needs TLS"), "{said}");
    }
}

/// They can be read from there but once.
fn shares_by_a_pipe() {
    let folder = tempfile::Builder::new().prefix("sealane-kms-").tempdir().unwrap();
    let dir = folder.path().join("sealane.d");
    let shares = ["--seal", "shamir", "--shares", "3", "--threshold", "2"];
    let shares = ok(sealane(&dir).arg("init").args(shares));
    let of_shares = folder.path().join("shares");
    std::fs::write(&of_shares, shares).unwrap();
    let mut serve = sealane(&dir);
    serve.args(["kms", "serve", "--listen", "127.0.0.1:0", "--share-file", "-"]).args(PLAINTEXT);
    let mut process = serve
        .stdin(std::fs::File::open(&of_shares).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let created = finish(sealane(&dir).args(["tenant", "create", "acme"]));
    let _ = process.kill();
    let of_server = process.wait_with_output().unwrap();
    assert!(said.starts_with("listening on "), "{}", String::from_utf8_lossy(&of_server.stderr));
    assert!(created.status.success(), "it is locked: {}", server::said(&created));
}

/// Temporary credentials of two hours ago, which were for a quarter of an hour.
fn sessions_end(python: &Path) {
    let mut server = Server::plaintext();
    server.credential("session-test");
    let mut made = String::new();
    server.restart_after(|server| {
        let mut faketime = Command::new("faketime");
        faketime.args(["-f", "-2h", env!("CARGO_BIN_EXE_sealane"), "kms", "credential"]);
        faketime.args(["session", "session-test", "--for", "15m", "--output", "json"]);
        made = ok(faketime.env("SEALANE_DIR", server.dir()));
    });
    let mut client = server.client(python_command(python, "expired.py"));
    ok(client.env("KMS_SESSION", made));
}

/// A client changes keys while the server is killed, and afterwards finds all that was answered.
fn kills(python: &Path) {
    let mut server = Server::plaintext();
    let (id, secret) = server.credential("restart-test");
    let over = server.folder.path().join("over");
    let mut client = server.client(python_command(python, "restart.py"));
    client.arg(&over).env("KMS_ID", id).env("KMS_SECRET", secret);
    let client = std::thread::spawn(move || ok(&mut client));
    for round in 0..6 {
        std::thread::sleep(Duration::from_millis(1500 + round * 130));
        server.restart_after(|_| ());
    }
    std::fs::write(&over, "").unwrap();
    let found: serde_json::Value = serde_json::from_str(&client.join().unwrap()).unwrap();
    assert!(found["keys"].as_u64() > Some(5), "the client did too little: {found}");
    assert!(found["lost"].as_u64() > Some(0), "no kill was in the way of anything: {found}");
}
