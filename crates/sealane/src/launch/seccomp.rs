//! The system call filter: a deny list over what namespaces and missing capabilities leave open.
//! It closes ways around the network (sockets of other families, io_uring), and kernel features
//! that a service has no use for and that have been the way out of many a sandbox.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter, sock_filter,
};

use super::error::{LaunchError, Step};

/// Refused with EPERM.
const FORBIDDEN: &[i64] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Programs in the kernel, and its insides.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_syslog,
    // Keys of the host's session.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Mounts, by the old interface and the new.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    // Namespaces; clone is looked at by its flags.
    libc::SYS_unshare,
    libc::SYS_setns,
    // The machine.
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
];

/// Not in every libc yet; one number on all architectures.
const OPEN_TREE_ATTR: i64 = 467;

#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE: &[i64] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_HERE: &[i64] = &[];

/// Refused with ENOSYS, so that callers fall back to what can be judged: the flags of clone3 lie
/// in memory, which a filter cannot read, and io_uring opens sockets without a system call.
const ABSENT: &[i64] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

const NAMESPACE_FLAGS: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

const FAMILIES: [libc::c_int; 4] = [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX, libc::AF_NETLINK];

/// Long deprecated, and still another name for AF_PACKET.
const SOCK_PACKET: libc::c_int = 10;

/// The type of a socket without the flags that may be added to it.
const SOCKET_TYPE_MASK: u64 = 0xf;

/// Installs the filter for the calling thread and what it will execute. Nothing takes it away.
pub(super) fn install() -> Result<(), LaunchError> {
    for program in programs().map_err(failed)? {
        apply_filter(&program).map_err(|error| match error {
            seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => {
                LaunchError::new(Step::FilterSystemCalls, &error)
            }
            other => LaunchError::said(Step::FilterSystemCalls, other.to_string()),
        })?;
    }
    Ok(())
}

fn failed(error: seccompiler::BackendError) -> LaunchError {
    LaunchError::said(Step::FilterSystemCalls, error.to_string())
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// One program per answer: each knows a single one. Of several, the kernel takes the strictest.
fn programs() -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let always = |calls: &[i64]| calls.iter().map(|&call| (call, Vec::new())).collect::<Rules>();

    let mut forbidden = always(FORBIDDEN);
    forbidden.append(&mut always(FORBIDDEN_HERE));
    let mut clone = Vec::new();
    for flag in NAMESPACE_FLAGS {
        let flag = u64::from(flag.unsigned_abs());
        clone.push(SeccompRule::new(vec![is(0, SeccompCmpOp::MaskedEq(flag), flag)?])?);
    }
    forbidden.insert(libc::SYS_clone, clone);
    // Keystrokes pushed into a terminal are run by the shell behind it.
    let mut ioctl = Vec::new();
    for request in [libc::TIOCSTI, libc::TIOCLINUX] {
        ioctl.push(SeccompRule::new(vec![is(1, SeccompCmpOp::Eq, request)?])?);
    }
    forbidden.insert(libc::SYS_ioctl, ioctl);
    let mut raw = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        for kind in [libc::SOCK_RAW, SOCK_PACKET] {
            raw.push(SeccompRule::new(vec![
                is(0, SeccompCmpOp::Eq, number(family))?,
                is(1, SeccompCmpOp::MaskedEq(SOCKET_TYPE_MASK), number(kind))?,
            ])?);
        }
    }
    forbidden.insert(libc::SYS_socket, raw);

    let mut sockets = Rules::new();
    for call in [libc::SYS_socket, libc::SYS_socketpair] {
        let others = FAMILIES.iter().map(|&family| is(0, SeccompCmpOp::Ne, number(family)));
        let other_family = SeccompRule::new(others.collect::<Result<_, _>>()?)?;
        let other_netlink = SeccompRule::new(vec![
            is(0, SeccompCmpOp::Eq, number(libc::AF_NETLINK))?,
            is(2, SeccompCmpOp::Ne, number(libc::NETLINK_ROUTE))?,
        ])?;
        sockets.insert(call, vec![other_family, other_netlink]);
    }

    let mut programs = vec![
        program(forbidden, libc::EPERM)?,
        program(always(ABSENT), libc::ENOSYS)?,
        program(sockets, libc::EAFNOSUPPORT)?,
    ];
    programs.extend(other_numbering());
    Ok(programs)
}

/// It kills whoever calls by another architecture's convention (32-bit), where the numbers mean
/// something else: seccompiler compares the architecture first.
fn program(rules: Rules, errno: libc::c_int) -> Result<BpfProgram, seccompiler::BackendError> {
    let architecture = std::env::consts::ARCH.try_into()?;
    let refusal = SeccompAction::Errno(errno.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refusal, architecture)?.try_into()
}

/// x32 has x86-64's architecture but numbers of its own, which no rule above would match.
fn other_numbering() -> Option<BpfProgram> {
    const X32_NUMBER_MIN: u32 = 0x4000_0000;
    const NUMBER_OFFSET: u32 = 0;
    let code = |code: u32| u16::try_from(code).expect("BPF's codes have 16 bits");
    let plain = |what: u32, k: u32| sock_filter { code: code(what), jt: 0, jf: 0, k };
    cfg!(target_arch = "x86_64").then(|| {
        vec![
            plain(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NUMBER_OFFSET),
            sock_filter {
                code: code(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K),
                jt: 0,
                jf: 1,
                k: X32_NUMBER_MIN,
            },
            plain(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_KILL_PROCESS),
            plain(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
        ]
    })
}

/// Compares 32 bits, as the kernel does with these arguments: it ignores the upper half, so a
/// caller must not be able to slip past by setting it.
fn is(
    argument: u8,
    how: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, value)
}

fn number(value: libc::c_int) -> u64 {
    u64::from(value.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_compile_and_fit() {
        for program in programs().unwrap() {
            assert!((1..=4096).contains(&program.len()), "{}", program.len());
        }
    }
}
