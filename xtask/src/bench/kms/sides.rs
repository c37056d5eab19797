//! The servers that are compared, made ready.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use super::calls::{Amount, Calls, Operation, Requests};
use super::options::{KEYS_BY_API_MAX, Options};
use super::process::Memory;
use super::request::{Client, Writer};
use super::server::{Server, free_port};
use super::sigv4::{Credentials, Signer};
use super::{Signing, constant, interrupts};
use crate::Error;
use crate::run::{cargo, is_installed, target_dir};

const REGION: &str = "us-east-1";
/// Few, for each connection: they are signed anew in every second.
const CALLS_SIGNED: usize = 16;
/// Many, so that what Decrypt opens is spread over many keys.
const CALLS_DRAWN: usize = 1024;
/// moto takes milliseconds for each.
const CALLS_MOTO: usize = 2;
const KEYS_MOTO: usize = 10;
const TIME_MOTO: Duration = Duration::from_secs(2);

/// What a server is to this benchmark.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sealane,
    Constant,
    Moto,
    /// One that the user named.
    Given,
}

/// One server under load.
pub(super) struct Side {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) keys: usize,
    pub(super) address: SocketAddr,
    pub(super) process: Option<u32>,
    pub(super) time: Duration,
    /// One for each operation.
    pub(super) requests: Vec<Requests>,
    pub(super) calls: Vec<Rc<Calls>>,
    /// Right after its start.
    pub(super) memory: Option<Memory>,
    /// `None`: it is not ours to stop.
    pub(super) server: Option<Server>,
}

/// Sealane with a store of its own, holding `keys` keys.
pub(super) fn sealane(
    name: &str,
    keys: usize,
    scratch: &Path,
    options: &Options,
) -> Result<Side, Error> {
    let program = target_dir("release")?.join("sealane");
    let dir = scratch.join(format!("cell-{keys}"));
    let asked = |words: &[&str]| -> Result<String, Error> {
        output(Command::new(&program).args(words).arg("--dir").arg(&dir))
    };
    asked(&["init", "--seal", "keyfile", "--account", "123456789012", "--region", REGION])?;
    let credentials = asked(&["kms", "credential", "create", "bench", "--output", "env"])?;
    let mut ids = Vec::new();
    if keys > KEYS_BY_API_MAX {
        eprintln!("{name}: putting {keys} keys into the store");
        let list = scratch.join(format!("keys-{keys}"));
        let mut seed = optimized("run", "sealane")?;
        seed.args(["--example", "seed_keys", "--"]);
        output(seed.arg(&dir).arg(keys.to_string()).arg(&list))?;
        ids = std::fs::read_to_string(&list)?.lines().map(str::to_owned).collect();
        if ids.len() != keys {
            return Err(format!("{} keys were made, not {keys}", ids.len()).into());
        }
    }
    let mut serve = Command::new(&program);
    serve.args(["kms", "serve", "--listen", "127.0.0.1:0", "--plaintext", "--dir"]).arg(&dir);
    let server = Server::start(&mut serve, &scratch.join(format!("{name}.log")))?;
    let memory = Memory::of(server.process())?;
    let signer = || Ok(Signer::new(from_env_lines(&credentials)?, REGION, "kms"));
    let mut side = Side {
        name: name.to_owned(),
        kind: Kind::Sealane,
        keys,
        address: server.address,
        process: Some(server.process()),
        time: options.time,
        requests: Vec::new(),
        calls: Vec::new(),
        memory: Some(memory),
        server: Some(server),
    };
    side.prepare(ids, options, &signer)?;
    Ok(side)
}

/// A server that runs already, with keys made in it now.
pub(super) fn given(address: SocketAddr, options: &Options) -> Result<Side, Error> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    let region = region.unwrap_or_else(|| REGION.to_owned());
    let signer = || -> Result<Signer, Error> {
        let needed = |name| variable(name).ok_or_else(|| format!("{name} is not set"));
        let credentials = Credentials {
            id: needed("AWS_ACCESS_KEY_ID")?,
            secret: needed("AWS_SECRET_ACCESS_KEY")?,
            token: variable("AWS_SESSION_TOKEN"),
        };
        Ok(Signer::new(credentials, &region, "kms"))
    };
    let mut side = Side {
        name: "server".into(),
        kind: Kind::Given,
        keys: options.keys,
        address,
        process: options.process,
        time: options.time,
        requests: Vec::new(),
        calls: Vec::new(),
        memory: None,
        server: None,
    };
    side.prepare(Vec::new(), options, &signer)?;
    Ok(side)
}

/// The floor beneath `reference`: asked the same, answering as many bytes.
pub(super) fn constant(reference: &Side, scratch: &Path, options: &Options) -> Result<Side, Error> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(constant::arguments(&reference.calls));
    let server = Server::start(&mut command, &scratch.join("constant.log"))?;
    let requests = reference.calls.iter().map(|calls| {
        let writer = Writer::new(server.address, Signer::new(anybody(), REGION, "kms"));
        Requests::new(Rc::clone(calls), writer, options.signing, false)
    });
    Ok(Side {
        name: "constant".into(),
        kind: Kind::Constant,
        keys: reference.keys,
        address: server.address,
        process: Some(server.process()),
        time: options.time,
        requests: requests.collect(),
        calls: reference.calls.clone(),
        memory: None,
        server: Some(server),
    })
}

/// moto's server, if it can be had: `Err` says why not.
pub(super) fn moto(scratch: &Path, options: &Options) -> Result<Side, Error> {
    let program = install_moto()?;
    let address = free_port()?;
    let mut command = Command::new(program);
    command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
    let server = Server::start_silent(&mut command, address, &scratch.join("moto.log"))?;
    let mut side = Side {
        name: "moto".into(),
        kind: Kind::Moto,
        keys: options.keys.min(KEYS_MOTO),
        address,
        process: Some(server.process()),
        time: options.time.min(TIME_MOTO),
        requests: Vec::new(),
        calls: Vec::new(),
        memory: None,
        server: Some(server),
    };
    side.prepare(Vec::new(), options, &|| Ok(Signer::new(anybody(), REGION, "kms")))?;
    Ok(side)
}

fn install_moto() -> Result<std::path::PathBuf, Error> {
    let venv = target_dir("bench")?.join("moto");
    let program = venv.join("bin/moto_server");
    if program.is_file() {
        return Ok(program);
    }
    if !is_installed("python3") {
        return Err("there is no python3".into());
    }
    eprintln!("moto: installing into {}", venv.display());
    output(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    output(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "moto[server,kms]"]))?;
    Ok(program)
}

/// For servers that do not look.
fn anybody() -> Credentials {
    Credentials { id: "AKIATESTTESTTESTTEST".into(), secret: "test-secret".into(), token: None }
}

impl Side {
    /// Makes keys unless `ids` names some, and calls of every operation.
    fn prepare(
        &mut self,
        mut ids: Vec<String>,
        options: &Options,
        signer: &dyn Fn() -> Result<Signer, Error>,
    ) -> Result<(), Error> {
        let mut client = Client::new(self.address, signer()?);
        while ids.len() < self.keys {
            interrupts::check()?;
            let made = client.ask("CreateKey", "{\"Description\":\"of a benchmark\"}")?;
            let id = made.pointer("/KeyMetadata/KeyId").and_then(Value::as_str);
            ids.push(id.ok_or("CreateKey was answered without an id")?.to_owned());
        }
        let keys: Rc<[String]> = ids.into();
        let (signing, per_connection) = match (self.kind, options.signing) {
            (Kind::Moto, _) => (Signing::Second, CALLS_MOTO),
            (_, Signing::Second) => (Signing::Second, CALLS_SIGNED),
            (_, Signing::Each) => (Signing::Each, CALLS_DRAWN),
        };
        let (connections, plaintext_bytes) = (options.connections, options.plaintext_bytes);
        let amount = Amount { connections, per_connection, plaintext_bytes };
        for operation in Operation::ALL {
            let calls = Rc::new(Calls::prepare(operation, &keys, amount, &mut client)?);
            let writer = Writer::new(self.address, signer()?);
            self.requests.push(Requests::new(Rc::clone(&calls), writer, signing, true));
            self.calls.push(calls);
        }
        Ok(())
    }
}

/// What `export NAME=VALUE` lines say.
fn from_env_lines(text: &str) -> Result<Credentials, Error> {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("export ")?.strip_prefix(name));
        line.and_then(|rest| rest.strip_prefix('=')).map(str::to_owned)
    };
    let needed = |name: &str| value(name).ok_or_else(|| format!("no {name} was printed"));
    Ok(Credentials {
        id: needed("AWS_ACCESS_KEY_ID")?,
        secret: needed("AWS_SECRET_ACCESS_KEY")?,
        token: value("AWS_SESSION_TOKEN"),
    })
}

/// `cargo build` or `cargo run` of a package, into the folder that this program lies in: it need
/// not be the one that cargo would choose for whoever starts this program.
pub(super) fn optimized(verb: &str, package: &str) -> Result<Command, Error> {
    let target = target_dir("")?;
    let mut command = cargo();
    command.args([verb, "--release", "--package", package, "--target-dir"]).arg(target);
    Ok(command)
}

/// Runs to the end; standard output, for ours may be read by a program.
pub(super) fn output(command: &mut Command) -> Result<String, Error> {
    interrupts::check()?;
    let shown = command.get_program().display().to_string();
    let ended = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let ended = ended.map_err(|error| format!("cannot start {shown}: {error}"))?;
    interrupts::check()?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&ended.stdout);
    Err(format!("{shown} ended with {}: {}", ended.status, said.trim_end()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_as_a_shell_would() {
        let text = "export AWS_ACCESS_KEY_ID=test-id\nexport AWS_SECRET_ACCESS_KEY=test-a=b\n\
                    unset AWS_SESSION_TOKEN\n";
        let credentials = from_env_lines(text).unwrap();
        assert_eq!(credentials.id, "test-id");
        assert_eq!(credentials.secret, "test-a=b");
        assert_eq!(credentials.token, None);
        assert!(from_env_lines("export AWS_ACCESS_KEY_ID=test-id\n").is_err());
    }
}
