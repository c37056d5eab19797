//! What the supervisor, the launcher's stages and the proxy say to each other: one JSON value per
//! SOCK_SEQPACKET message, descriptors beside it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::{LaunchError, Step};
use super::network;

/// All that the launcher needs to know about a service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// The service's own short name: its host name inside.
    pub name: String,
    pub isolation: Isolation,
    /// The program and its arguments. The program is looked up in PATH inside the new root.
    pub run: Vec<String>,
    /// Added to (and put over) PATH, HOME and LANG; nothing else is inherited.
    pub env: BTreeMap<String, String>,
    /// Absolute. Visible inside, read-only, at its own path.
    pub cwd: PathBuf,
    pub run_as: RunAs,
    /// The ports that may be dialled.
    pub ports: Vec<u16>,
    pub listen: Listen,
    pub volumes: Vec<VolumeMount>,
    /// Further files and directories of the host, visible read-only at their own paths.
    pub visible: Vec<PathBuf>,
    /// Directories and files of the host (DIR, key files) that must not be seen, even where they
    /// lie in something visible.
    pub hidden: Vec<PathBuf>,
    pub limits: Limits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Isolation {
    /// Namespaces, firewall, system call filter.
    Full,
    /// A plain child process of the host; `report` lists it first.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunAs {
    /// A uid of its own; only root can give one.
    Ids { uid: u32, gid: u32 },
    /// Whoever runs the supervisor, in a user namespace that knows nobody else.
    Caller,
}

/// Where the service listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listen {
    /// On all addresses: it is dialled from an address that is not a loopback one, so that it does
    /// not take remote callers for local ones.
    Any,
    /// On 127.0.0.1 only, because the cell file says so.
    Loopback,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// A directory of the host.
    pub source: PathBuf,
    /// Where the service sees it. Absolute.
    pub at: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub open_files_max: u64,
    /// Per uid, so it means little to services that share one.
    pub processes_max: Option<u64>,
    /// Of each of /tmp, /var/tmp, /run and /dev/shm.
    pub scratch_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { open_files_max: 65_536, processes_max: None, scratch_bytes_max: 64 << 20 }
    }
}

impl LaunchSpec {
    /// Checks what cannot be launched, before anything is touched.
    ///
    /// # Errors
    /// [`Step::ReadSpec`], saying what to change.
    pub fn check(&self) -> Result<(), LaunchError> {
        let refuse = |why: String| Err(LaunchError::said(Step::ReadSpec, why));
        if self.run.first().is_none_or(String::is_empty) {
            return refuse("`run` names no program".into());
        }
        let name_fits = !self.name.is_empty()
            && self.name.len() <= NAME_BYTES_MAX
            && self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !name_fits {
            return refuse(format!(
                "the name {:?} cannot be a host name: letters, digits and '-', at most {NAME_BYTES_MAX}",
                self.name
            ));
        }
        let paths = self.volumes.iter().flat_map(|volume| [&volume.source, &volume.at]);
        for path in paths.chain(&self.visible).chain(&self.hidden).chain([&self.cwd]) {
            let plain =
                path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
            if !path.is_absolute() || !plain {
                return refuse(format!("{} must be an absolute path without '..'", path.display()));
            }
        }
        if self.isolation == Isolation::None {
            return Ok(());
        }
        if matches!(self.run_as, RunAs::Ids { uid: 0, .. } | RunAs::Ids { gid: 0, .. }) {
            return refuse("a service must not run as root: give another run_as".into());
        }
        if self.ports.contains(&network::CAPTURE_PORT) {
            return refuse(format!(
                "port {} is where the service's own connections are captured: choose another",
                network::CAPTURE_PORT
            ));
        }
        for path in self.visible.iter().chain([&self.cwd]) {
            if path.parent().is_none() {
                return refuse(
                    "the whole root directory cannot be made visible: choose a subdirectory".into(),
                );
            }
            if let Some(hidden) = self.hidden.iter().find(|hidden| path.starts_with(hidden)) {
                return refuse(format!(
                    "{} lies in {}, which services must not see: move one of them",
                    path.display(),
                    hidden.display()
                ));
            }
        }
        for volume in &self.volumes {
            if volume.at.components().count() < 2
                || RESERVED.iter().any(|root| volume.at.starts_with(root))
            {
                return refuse(format!("a volume cannot be mounted at {}", volume.at.display()));
            }
        }
        Ok(())
    }
}

/// A label of a host name (RFC 1035, section 2.3.4).
pub const NAME_BYTES_MAX: usize = 63;
const RESERVED: [&str; 2] = ["/proc", "/dev"];

/// What the supervisor asks of the launcher's init.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Start the program; again, if it has exited.
    Start,
    Stop {
        grace_ms: u64,
    },
    Dial(Dial),
}

/// What the launcher tells the supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// All is set up; beside it travel the sockets, if there are any. The sender is the init.
    Inside,
    Failed(LaunchError),
    /// The sender is the process that will be the program.
    Launching,
    Started,
    Exited(Exit),
    Dialled(Dialled),
}

/// How the service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

/// What one stage of the launcher hands to the next.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Descriptors: control channel's is the socket itself; dial channel, stdout, stderr.
    Outer(LaunchSpec),
    /// Descriptors: control channel, dial channel, stdout, stderr, capture, DNS by UDP and TCP.
    Init(LaunchSpec),
    /// Descriptors: control channel, stdout, stderr.
    Service(LaunchSpec),
}

/// Asks for a connection to a port of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dial {
    /// Chosen by the asker; comes back with the answer. Answers to an asker that has died may
    /// still be in the socket, so a new one starts from a random number and ignores others.
    pub id: u64,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialled {
    pub id: u64,
    pub outcome: DialOutcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DialOutcome {
    /// Beside it travels a non-blocking TCP socket that may still be connecting: wait until it is
    /// writable, then ask it for its error.
    Connecting,
    /// The service does not declare this port.
    PortUndeclared,
    Failed {
        errno: i32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> LaunchSpec {
        LaunchSpec {
            name: "web".into(),
            isolation: Isolation::Full,
            run: vec!["true".into()],
            env: BTreeMap::new(),
            cwd: "/srv/app".into(),
            run_as: RunAs::Caller,
            ports: vec![8080],
            listen: Listen::Any,
            volumes: vec![],
            visible: vec![],
            hidden: vec!["/srv/app/sealane.d".into()],
            limits: Limits::default(),
        }
    }

    fn refused(change: impl FnOnce(&mut LaunchSpec), says: &str) {
        let mut spec = spec();
        change(&mut spec);
        let error = spec.check().expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn what_cannot_be_launched_is_refused() {
        assert_eq!(spec().check(), Ok(()));
        refused(|s| s.run.clear(), "names no program");
        refused(|s| s.name = "a b".into(), "host name");
        refused(|s| s.name = "n".repeat(NAME_BYTES_MAX + 1), "host name");
        refused(|s| s.cwd = "app".into(), "absolute");
        refused(|s| s.cwd = "/srv/../etc".into(), "'..'");
        refused(|s| s.cwd = "/".into(), "whole root");
        refused(|s| s.cwd = "/srv/app/sealane.d/x".into(), "must not see");
        refused(|s| s.run_as = RunAs::Ids { uid: 0, gid: 5 }, "root");
        refused(|s| s.ports.push(network::CAPTURE_PORT), "captured");
        let volume = |at: &str| vec![VolumeMount { source: "/mnt".into(), at: at.into() }];
        refused(|s| s.volumes = volume("/"), "cannot be mounted");
        refused(|s| s.volumes = volume("/proc/x"), "cannot be mounted");
    }

    #[test]
    fn the_longest_name_is_taken() {
        let name = "n".repeat(NAME_BYTES_MAX);
        assert_eq!(LaunchSpec { name, ..spec() }.check(), Ok(()));
    }
}
