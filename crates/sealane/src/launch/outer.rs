//! The launcher's first stage: leaves the host's namespaces, sets up the network, and starts the
//! init of the new PID namespace. Then it only waits, for the supervisor to have a child to wait
//! for.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command as Process, ExitCode, Stdio};

use rustix::process::Signal;
use rustix::thread::UnshareFlags;

use super::channel::{Channel, Wait};
use super::error::{During as _, LaunchError, Step};
use super::init::{self, Init};
use super::network;
use super::protocol::{Event, Isolation, LaunchSpec, RunAs, Task};
use crate::sys::process::unshare;

pub(super) fn run(control: Channel, spec: LaunchSpec, descriptors: Vec<OwnedFd>) -> ExitCode {
    let Ok([dial, stdout, stderr]) = <[OwnedFd; 3]>::try_from(descriptors) else {
        return report(&control, LaunchError::said(Step::StartLauncher, "a descriptor is missing"));
    };
    if let Err(error) = spec.check() {
        return report(&control, error);
    }
    match spec.isolation {
        Isolation::None => match Init::plain(spec, control, dial.into(), [stdout, stderr]) {
            Ok(init) => init.serve(),
            Err((control, error)) => report(&control, error),
        },
        Isolation::Full => match start_init(&control, &spec, dial, stdout, stderr) {
            Ok(mut child) => {
                // The init's copy is now the only one: when it ends, the supervisor notices.
                drop(control);
                child.wait().map_or(ExitCode::FAILURE, |_| ExitCode::SUCCESS)
            }
            Err(error) => report(&control, error),
        },
    }
}

pub(super) fn report(control: &Channel, error: LaunchError) -> ExitCode {
    // A supervisor that is gone needs no report.
    let _ = control.send(&Event::Failed(error), &[], Wait::Forever);
    ExitCode::FAILURE
}

fn start_init(
    control: &Channel,
    spec: &LaunchSpec,
    dial: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
) -> Result<Child, LaunchError> {
    leave_host(spec)?;
    let sockets = network::set_up()?;
    rustix::system::sethostname(spec.name.as_bytes()).during(Step::CreateNamespaces)?;
    let (ours, theirs) = Channel::pair().during(Step::StartLauncher)?;
    // Not earlier: the next child to be born is the new namespace's init, and `ip` would be a poor
    // one.
    unshare(UnshareFlags::NEWPID).during(Step::CreateNamespaces)?;
    let child = next_stage(theirs).during(Step::StartLauncher)?;
    let descriptors = [
        control.as_fd(),
        dial.as_fd(),
        stdout.as_fd(),
        stderr.as_fd(),
        sockets.capture.as_fd(),
        sockets.dns_udp.as_fd(),
        sockets.dns_tcp.as_fd(),
    ];
    ours.send(&Task::Init(spec.clone()), &descriptors, Wait::Forever)
        .during(Step::StartLauncher)?;
    Ok(child)
}

/// Starts this program again, with the channel as its standard input. Re-execution instead of a
/// fork: a forked copy of a Rust process may do next to nothing safely, a new one anything.
pub(super) fn next_stage(channel: Channel) -> io::Result<Child> {
    Process::new("/proc/self/exe")
        .arg0("sealane")
        .arg(super::ARGUMENT)
        .stdin(Stdio::from(OwnedFd::from(channel)))
        .spawn()
}

fn leave_host(spec: &LaunchSpec) -> Result<(), LaunchError> {
    let user = rustix::process::geteuid();
    if user.is_root() {
        if spec.run_as == RunAs::Caller && is_root_of_the_host() {
            return Err(LaunchError::said(
                Step::ReadSpec,
                "a service must not run as root: give it a run_as",
            ));
        }
    } else {
        if matches!(spec.run_as, RunAs::Ids { .. }) {
            return Err(LaunchError::said(
                Step::ReadSpec,
                "only root can run a service as another user: leave run_as out, or run as root",
            ));
        }
        let group = rustix::process::getegid();
        unshare(UnshareFlags::NEWUSER).during(Step::CreateUserNamespace)?;
        // As root inside: the capabilities must survive the execution of `nft` and of the init.
        map_ids(0, 0, user.as_raw(), group.as_raw()).during(Step::CreateUserNamespace)?;
    }
    let all = UnshareFlags::NEWNET
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    unshare(all).during(Step::CreateNamespaces)?;
    // Other credentials have lifted it.
    init::die_with_parent().during(Step::CreateNamespaces)
}

/// Maps one uid and one gid of the parent user namespace into the new one that the caller is in.
pub(super) fn map_ids(uid: u32, gid: u32, parent_uid: u32, parent_gid: u32) -> io::Result<()> {
    // Without this the kernel refuses the gid map: dropping a group can open what denied it.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{uid} {parent_uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{gid} {parent_gid} 1"))
}

/// The uid and gid by which the parent user namespace knows the caller's, if it is the only one.
pub(super) fn single_mapping(file: &str, own: u32) -> Option<u32> {
    let map = fs::read_to_string(file).ok()?;
    let mut words = map.split_ascii_whitespace().map(str::parse);
    let (inside, outside, count) = (words.next()?.ok()?, words.next()?.ok()?, words.next()?.ok()?);
    let single: u32 = 1;
    (inside == own && count == single && words.next().is_none()).then_some(outside)
}

/// Or at least of a user namespace with many users, such as a container's.
fn is_root_of_the_host() -> bool {
    let root = 0;
    single_mapping("/proc/self/uid_map", root).is_none()
}

/// The supervisor's end is a lifeline too, but this works even while a stage is busy.
pub(super) const DEATH_SIGNAL: Signal = Signal::KILL;
