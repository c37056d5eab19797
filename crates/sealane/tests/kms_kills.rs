//! `kill -9` of `kms serve` at random moments, while keys are made, changed and used: whatever was
//! acknowledged is there afterwards, and nothing keeps the server from coming back.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

mod kms_support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kms_support::http::{Answer, Connection};
use kms_support::signed::AccessKey;
use kms_support::{KmsServer, count, memory, seed, trial};
use libtest_mimic::Arguments;
use serde_json::{Value, json};
use sim::entropy::SeededEntropy;

/// How long a server may take to serve again. It reads the last segment of its trail, which this
/// test fills to some 30 MB: unoptimised code on a busy machine takes its time over that.
const START_MAX: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 2 });
const WRITERS: usize = 4;

fn main() {
    let root = kms_support::is_root();
    let trials = vec![
        trial("nothing_acknowledged_is_lost", nothing_acknowledged_is_lost),
        trial("a_crash_leaves_no_core", a_crash_leaves_no_core),
        trial("root: memory_is_closed_to_others", memory_is_closed_to_others)
            .with_ignored_flag(!root),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// What one key must be, as far as its only writer was told. A change that was sent and not
/// acknowledged may have taken place.
#[derive(Clone, Default, Debug)]
struct Expected {
    enabled: Maybe<bool>,
    description: Maybe<String>,
    rotations: Maybe<usize>,
    aliases: BTreeMap<String, Maybe<bool>>,
    grants: BTreeMap<String, Maybe<bool>>,
    /// A text (of hex digits, which are base64 too) as the key has encrypted it.
    blobs: Vec<(String, String)>,
}

/// The last value that was acknowledged, and one that was asked for after it.
#[derive(Clone, Default, Debug)]
struct Maybe<T> {
    certain: T,
    asked: Option<T>,
}

impl<T: PartialEq + Clone + std::fmt::Debug> Maybe<T> {
    fn of(certain: T) -> Self {
        Self { certain, asked: None }
    }

    /// Asks for `value`, and takes it for certain if that is acknowledged.
    fn change(&mut self, value: T, ask: impl FnOnce() -> Option<Answer>) -> bool {
        self.asked = Some(value);
        let Some(answer) = ask() else { return false };
        assert_eq!(answer.status, 200, "{answer:?}");
        self.certain = self.asked.take().unwrap();
        true
    }

    #[track_caller]
    fn found(&mut self, value: T, what: &str) {
        let possible = value == self.certain || Some(&value) == self.asked.as_ref();
        assert!(possible, "{what} is {value:?}, and was {self:?}");
        // What was read once has to stay.
        *self = Self::of(value);
    }
}

/// What one writer knows.
struct Writer {
    keys: BTreeMap<String, Expected>,
    chance: SeededEntropy,
    acknowledged: usize,
}

fn nothing_acknowledged_is_lost() {
    let mut chance = SeededEntropy::new(seed());
    let mut server = KmsServer::new();
    let mut writers: Vec<_> = (0..WRITERS)
        .map(|_| Writer { keys: BTreeMap::new(), chance: chance.fork(), acknowledged: 0 })
        .collect();
    let key = server.access_key("me");
    let mut revoked: Vec<AccessKey> = Vec::new();
    for kill in 0..count(10, 50) {
        let took = server.start();
        println!("kill {kill}: serves after {took:?}, {} bytes of trail", server.trail_bytes());
        assert!(took < START_MAX, "after kill {kill} it took {took:?} to serve");
        let temporary = server.access_key(&format!("temporary-{kill}"));
        let address = server.address();
        for writer in &mut writers {
            writer.verify(address, &key);
        }
        for gone in &revoked {
            let answer = server.connect().call(gone, "ListKeys", b"{}");
            assert_eq!(answer.aws_error().as_deref(), Some("UnrecognizedClientException"));
        }
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in &mut writers {
                let (key, stop) = (&key, &stop);
                scope.spawn(move || writer.write_until(address, key, stop));
            }
            std::thread::sleep(Duration::from_millis(50 + chance.below(400)));
            server.ok(&["kms", "credential", "revoke", &format!("temporary-{kill}")]);
            revoked.push(temporary);
            std::thread::sleep(Duration::from_millis(chance.below(400)));
            server.kill();
            stop.store(true, Ordering::Relaxed);
        });
    }
    server.start();
    for writer in &mut writers {
        writer.verify(server.address(), &key);
    }
    server.assert_well(&key);
    let acknowledged: usize = writers.iter().map(|writer| writer.acknowledged).sum();
    println!("{acknowledged} changes were acknowledged");
    assert!(acknowledged > 100, "{acknowledged} changes are no load");
}

/// Sends calls until one is not answered.
struct Client<'c> {
    connection: Connection,
    key: &'c AccessKey,
}

impl Client<'_> {
    fn ask(&mut self, operation: &str, body: &Value) -> Option<Answer> {
        self.connection.try_call(self.key, operation, body.to_string().as_bytes())
    }

    /// Asks for what must be answered.
    fn read(&mut self, operation: &str, body: &Value) -> Value {
        let answer = self.ask(operation, body).unwrap();
        assert_eq!(answer.status, 200, "{operation} {body}: {answer:?}");
        answer.json()
    }
}

impl Writer {
    fn write_until(&mut self, address: SocketAddr, key: &AccessKey, stop: &AtomicBool) {
        let Ok(connection) = Connection::try_to(address) else { return };
        let mut client = Client { connection, key };
        while !stop.load(Ordering::Relaxed) {
            match self.step(&mut client) {
                Some(()) => self.acknowledged += 1,
                None => return,
            }
        }
    }

    /// `None` once the server is gone.
    fn step(&mut self, client: &mut Client<'_>) -> Option<()> {
        let keys: Vec<_> = self.keys.keys().cloned().collect();
        if keys.len() < 3 || (keys.len() < 30 && self.chance.one_in(8)) {
            let answer = client.ask("CreateKey", &json!({}))?;
            assert_eq!(answer.status, 200, "{answer:?}");
            let id = answer.json()["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned();
            let expected = Expected { enabled: Maybe::of(true), ..Expected::default() };
            self.keys.insert(id, expected);
            return Some(());
        }
        let pick = usize::try_from(self.chance.below(keys.len() as u64)).unwrap();
        let (id, chance) = (&keys[pick], &mut self.chance);
        let expected = self.keys.get_mut(id).unwrap();
        let key = json!({ "KeyId": id });
        let done = match chance.below(6) {
            0 => {
                let enable = !expected.enabled.certain;
                let operation = if enable { "EnableKey" } else { "DisableKey" };
                expected.enabled.change(enable, || client.ask(operation, &key))
            }
            1 => {
                let text = format!("text {}", chance.draw());
                let body = json!({ "KeyId": id, "Description": text });
                let ask = || client.ask("UpdateKeyDescription", &body);
                expected.description.change(text.clone(), ask)
            }
            2 if expected.enabled.certain && expected.rotations.certain < 20 => {
                let rotations = expected.rotations.certain + 1;
                expected.rotations.change(rotations, || client.ask("RotateKeyOnDemand", &key))
            }
            3 => {
                let name = format!("alias/{}-{}", &id[..8], chance.below(5));
                let alias = expected.aliases.entry(name.clone()).or_default();
                let create = json!({ "AliasName": name, "TargetKeyId": id });
                let delete = json!({ "AliasName": name });
                match alias.certain {
                    false => alias.change(true, || client.ask("CreateAlias", &create)),
                    true => alias.change(false, || client.ask("DeleteAlias", &delete)),
                }
            }
            4 if expected.enabled.certain => {
                // By name, so that one which was not acknowledged is known again.
                let name = format!("grant-{}", chance.below(5));
                let grant = expected.grants.entry(name.clone()).or_default();
                let body = json!({ "KeyId": id, "Name": name, "Operations": ["Decrypt"],
                    "GranteePrincipal": "arn:aws:iam::123456789012:user/me" });
                grant.change(true, || client.ask("CreateGrant", &body))
            }
            _ if expected.enabled.certain => {
                let text = format!("{:016x}", chance.draw());
                let answer = client.ask("Encrypt", &json!({ "KeyId": id, "Plaintext": text }))?;
                assert_eq!(answer.status, 200, "{answer:?}");
                let blob = answer.json()["CiphertextBlob"].as_str().unwrap().to_owned();
                expected.blobs.push((text, blob));
                if expected.blobs.len() > 20 {
                    expected.blobs.remove(0);
                }
                true
            }
            _ => true,
        };
        done.then_some(())
    }

    fn verify(&mut self, address: SocketAddr, key: &AccessKey) {
        let mut client = Client { connection: Connection::to(address), key };
        for (id, expected) in &mut self.keys {
            let key = json!({ "KeyId": id });
            let found = client.read("DescribeKey", &key)["KeyMetadata"].take();
            let enabled = found["Enabled"].as_bool().unwrap();
            expected.enabled.found(enabled, &format!("{id}: enabled"));
            let description = found["Description"].as_str().unwrap().to_owned();
            expected.description.found(description, &format!("{id}: description"));

            let rotations = client.read("ListKeyRotations", &key)["Rotations"].take();
            let rotations = rotations.as_array().unwrap().len();
            expected.rotations.found(rotations, &format!("{id}: rotations"));

            let aliases = client.read("ListAliases", &key)["Aliases"].take();
            let names = |list: &Value, member: &str| -> Vec<String> {
                let names = list.as_array().unwrap().iter();
                names.map(|one| one[member].as_str().unwrap().to_owned()).collect()
            };
            let aliases = names(&aliases, "AliasName");
            for (name, alias) in &mut expected.aliases {
                alias.found(aliases.contains(name), &format!("{id}: {name}"));
                let target = client.ask("DescribeKey", &json!({ "KeyId": name })).unwrap();
                assert_eq!(target.status == 200, alias.certain, "{name}: {target:?}");
            }
            let grants = names(&client.read("ListGrants", &key)["Grants"], "Name");
            for (name, grant) in &mut expected.grants {
                grant.found(grants.contains(name), &format!("{id}: {name}"));
            }
            if expected.enabled.certain {
                for (text, blob) in &expected.blobs {
                    let opened = client.read("Decrypt", &json!({ "CiphertextBlob": blob }));
                    assert_eq!(opened["Plaintext"].as_str(), Some(&**text), "{id}");
                }
            }
        }
    }
}

/// Whatever kills the server, none of its memory reaches a disk.
fn a_crash_leaves_no_core() {
    use std::os::unix::process::ExitStatusExt as _;
    let mut server = KmsServer::started();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let core: Vec<_> = core.split_whitespace().rev().take(3).collect();
    assert_eq!(core, ["bytes", "0", "0"], "no core may be written, nor the limit be raised");
    let pid = server.pid();
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::ABORT).unwrap();
    let ended = server.wait();
    assert_eq!(ended.signal(), Some(6));
    assert!(!ended.core_dumped());
}

/// The server of a user without privileges, and what another process of that very user can see.
fn memory_is_closed_to_others() {
    const USER: u32 = 65534;
    const CANARY: &str = "canary-of-an-environment-4711";
    let mut server = KmsServer::owned_by(Some(USER));
    server.set_environment("SEALANE_TEST_CANARY", CANARY);
    server.start();
    // Root sees it: so it is there to be found.
    assert!(memory::find_in_memory(server.pid(), CANARY.as_bytes()).unwrap());
    let absent = format!("{}-{}", "never-in-the-server", server.pid());
    assert!(!memory::find_in_memory(server.pid(), absent.as_bytes()).unwrap());

    let may = |pid: u32| memory::what_a_user_may(USER, pid);
    let mut other = std::process::Command::new("sleep");
    std::os::unix::process::CommandExt::uid(&mut other, USER);
    let mut other = other.arg("60").spawn().unwrap();
    let of_other = may(other.id());
    other.kill().unwrap();
    other.wait().unwrap();
    let none = memory::Access::default();
    assert_eq!(may(server.pid()), none, "of a process that forbids nothing: {of_other:?}");
    // Where the kernel forbids such things in general (Yama), there is nothing to compare with.
    let yama = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    if matches!(yama.trim(), "" | "0") {
        assert!(of_other.memory && of_other.maps && of_other.environment, "{of_other:?}");
    }
}
