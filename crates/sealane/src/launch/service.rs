//! The launcher's third stage: gives up everything, and becomes the service's program.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command as Process, ExitCode};

use rustix::process::{Resource, Rlimit};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, Gid, Uid, UnshareFlags,
};

use super::channel::{Channel, Wait};
use super::error::{During as _, LaunchError, Step};
use super::init::die_with_parent;
use super::outer::{map_ids, single_mapping};
use super::protocol::{Event, Isolation, LaunchSpec, Limits, RunAs};
use super::seccomp;
use crate::sys::process::{close_others_on_exec, unshare};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Writable, and empty at each launch.
const HOME: &str = "/tmp";
/// The C locale's characters would be ASCII only.
const LANG: &str = "C.UTF-8";

pub(super) fn run(stage: &Channel, spec: &LaunchSpec, descriptors: Vec<OwnedFd>) -> ExitCode {
    let error = match <[OwnedFd; 3]>::try_from(descriptors) {
        Ok([control, stdout, stderr]) => become_service(&control.into(), spec, &stdout, &stderr),
        Err(_) => LaunchError::said(Step::StartProgram, "a descriptor is missing"),
    };
    // A launcher that is gone needs no report.
    let _ = stage.send(&error, &[], Wait::Never);
    ExitCode::FAILURE
}

/// Returns only if it failed.
fn become_service(
    control: &Channel,
    spec: &LaunchSpec,
    stdout: &OwnedFd,
    stderr: &OwnedFd,
) -> LaunchError {
    // The kernel adds this process's id, by which the supervisor will know the service.
    if let Err(error) = control.send(&Event::Launching, &[], Wait::Forever) {
        return LaunchError::new(Step::StartProgram, &error);
    }
    if let Err(error) = confine(spec, stdout, stderr) {
        return error;
    }
    let Some((program, arguments)) = spec.run.split_first() else {
        return LaunchError::said(Step::ReadSpec, "`run` names no program");
    };
    let mut command = Process::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", HOME)
        .env("LANG", LANG)
        .envs(&spec.env);
    LaunchError::new(Step::StartProgram, &command.exec()).at(program)
}

fn confine(spec: &LaunchSpec, stdout: &OwnedFd, stderr: &OwnedFd) -> Result<(), LaunchError> {
    limit(&spec.limits)?;
    match spec.run_as {
        RunAs::Ids { uid, gid } => {
            bound_capabilities().during(Step::DropPrivileges)?;
            take_ids(uid, gid).during(Step::DropPrivileges)?;
        }
        RunAs::Caller if spec.isolation == Isolation::Full => {
            take_own_ids().during(Step::CreateUserNamespace)?;
            bound_capabilities().during(Step::DropPrivileges)?;
        }
        // The supervisor's mounts need a user namespace in which it is root; a service does not.
        RunAs::Caller if is_other_outside() => {
            take_own_ids().during(Step::CreateUserNamespace)?;
            bound_capabilities().during(Step::DropPrivileges)?;
        }
        RunAs::Caller => {}
    }
    let own = spec.isolation == Isolation::None && spec.run_as == RunAs::Caller;
    if !own || !rustix::process::geteuid().is_root() {
        drop_capabilities().during(Step::DropPrivileges)?;
    }
    rustix::thread::set_no_new_privs(true).during(Step::DropPrivileges)?;
    // Only now: a change of credentials lifts it.
    die_with_parent().during(Step::DropPrivileges)?;
    // As the service's user: what root could enter says nothing about what it can.
    std::env::set_current_dir(&spec.cwd)
        .map_err(|error| LaunchError::new(Step::EnterWorkingDirectory, &error).at(&spec.cwd))?;
    rustix::stdio::dup2_stdout(stdout).during(Step::StartProgram)?;
    rustix::stdio::dup2_stderr(stderr).during(Step::StartProgram)?;
    close_others_on_exec().during(Step::StartProgram)?;
    if spec.isolation == Isolation::Full {
        seccomp::install()?;
    }
    Ok(())
}

fn limit(limits: &Limits) -> Result<(), LaunchError> {
    let set = |resource, value: u64| {
        // A hard limit can only be raised by root: what is there is what can be had.
        let maximum = rustix::process::getrlimit(resource).maximum;
        let value = maximum.map_or(value, |maximum| value.min(maximum));
        rustix::process::setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
            .during(Step::LimitResources)
    };
    // A core would hold what the service holds, in the clear.
    set(Resource::Core, 0)?;
    set(Resource::Nofile, limits.open_files_max)?;
    limits.processes_max.map_or(Ok(()), |max| set(Resource::Nproc, max))
}

fn take_ids(uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_groups(&[gid])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Without root: a second user namespace, in which the caller's uid is again what it is outside,
/// because programs such as postgres refuse to run as root. It owns none of the namespaces that
/// matter, so even all of its capabilities would change nothing in them.
fn take_own_ids() -> io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let seen = |file, own| single_mapping(file, own).unwrap_or(own);
    let (outside_uid, outside_gid) =
        (seen("/proc/self/uid_map", uid), seen("/proc/self/gid_map", gid));
    unshare(UnshareFlags::NEWUSER)?;
    map_ids(outside_uid, outside_gid, uid, gid)
}

/// Whether the caller's uid is another in the parent user namespace.
fn is_other_outside() -> bool {
    let uid = rustix::process::geteuid().as_raw();
    single_mapping("/proc/self/uid_map", uid).is_some_and(|outside| outside != uid)
}

/// What no later execution can get back. It needs capabilities itself, so it comes before they go.
fn bound_capabilities() -> io::Result<()> {
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The first that this kernel does not know.
            Err(rustix::io::Errno::INVAL) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    // A uid of 0 means nothing, for ever.
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    Ok(rustix::thread::set_capabilities_secure_bits(bits)?)
}

fn drop_capabilities() -> io::Result<()> {
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: none, permitted: none, inheritable: none },
    )?;
    Ok(())
}
