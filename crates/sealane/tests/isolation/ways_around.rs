//! What must fail, tried from inside a service.

use sealane::launch::protocol::{Exit, Isolation, RunAs};

use crate::fixture::{Fixture, SECRET, SERVICE_UID, is_root};

pub(crate) fn other_addresses_and_ports_are_rejected_at_once() {
    Fixture::new(
        r#"
own = socket.socket(); own.bind(("0.0.0.0", 8080)); own.listen()
tcp, tcp6 = int(E["TCP"]), int(E["TCP6"])
for host in ["127.0.0.1", "127.0.0.2", E["HOST"], "100.64.0.1", "100.64.0.2", "0.0.0.0", "::ffff:" + E["HOST"]]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    attempt(f"{host}:{tcp}", lambda: connect((host, tcp), family))
# All destinations are local here, but that does not make them the service.
for host in ["8.8.8.8", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.63.255.255", "100.128.0.0", "224.0.0.1"]:
    attempt(f"{host}:8080", lambda: connect((host, 8080)))
attempt("100.64.0.2:8080", lambda: connect(("100.64.0.2", 8080)))
for host in ["::1", "fe80::1%lo", "2001:4860:4860::8888", "::ffff:8.8.8.8"]:
    attempt(f"[{host}]:{tcp6}", lambda: connect((host, tcp6), socket.AF_INET6))
attempt("a route", lambda: run("/usr/sbin/ip", "route", "add", "8.8.8.8", "dev", "lo"))
attempt("an interface", lambda: run("/usr/sbin/ip", "link", "add", "d", "type", "dummy"))
attempt("the firewall", lambda: run("/usr/sbin/nft", "flush", "ruleset"))
"#,
    )
    .all_refused();
}

pub(crate) fn udp_and_dns_to_outside_are_rejected() {
    Fixture::new(
        r#"
def ask(host, port=53, family=socket.AF_INET):
    s = connect((host, port), family, socket.SOCK_DGRAM)
    s.send(b"\0" * 12)
    time.sleep(0.05)
    return s.send(b"\0" * 12)
for host in ["8.8.8.8", "1.1.1.1", E["HOST"], "100.64.1.7", "224.0.0.251"]:
    attempt(f"DNS by UDP at {host}", lambda: ask(host))
    attempt(f"DNS by TCP at {host}", lambda: connect((host, 53)) if not host.startswith("100.") else 1 / 0)
attempt("UDP", lambda: ask("8.8.8.8", 4433))
attempt("UDP to the DNS address", lambda: ask("100.64.0.2", 54))
attempt("UDP by IPv6", lambda: ask("2001:4860:4860::8888", 53, socket.AF_INET6))
"#,
    )
    .all_refused();
}

pub(crate) fn the_capture_port_is_reached_by_capture_only() {
    Fixture::new(
        r#"
for host in ["127.0.0.1", "100.64.0.1", "0.0.0.0", "100.64.0.2", "8.8.8.8"]:
    attempt(host, lambda: connect((host, 15001)))
def steal(address, kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_INET, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(address)
    if kind == socket.SOCK_STREAM: s.listen()
    return s
for host in ["127.0.0.1", "0.0.0.0"]:
    attempt(f"a second listener at {host}", lambda: steal((host, 15001)))
attempt("a second DNS", lambda: steal(("100.64.0.2", 53), socket.SOCK_DGRAM))
"#,
    )
    .all_refused();
}

pub(crate) fn sockets_of_other_kinds_are_refused() {
    Fixture::new(
        r#"
for name, arguments in {
    "raw": (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "raw with flags": (socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 255),
    "raw IPv6": (socket.AF_INET6, socket.SOCK_RAW, 58),
    "SOCK_PACKET": (socket.AF_INET, 10, 0x300),
    "ping": (socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP),
    "AF_PACKET": (17, socket.SOCK_RAW, 0x300),
    "AF_PACKET datagram": (17, socket.SOCK_DGRAM, 0x300),
    "AF_VSOCK": (40, socket.SOCK_STREAM, 0),
    "AF_VSOCK datagram": (40, socket.SOCK_DGRAM, 0),
    "AF_ALG": (38, socket.SOCK_SEQPACKET, 0),
    "AF_BLUETOOTH": (31, socket.SOCK_RAW, 1),
    "AF_TIPC": (30, socket.SOCK_STREAM, 0),
    "AF_XDP": (44, socket.SOCK_RAW, 0),
    "AF_KEY": (15, socket.SOCK_RAW, 2),
    "AF_RDS": (21, socket.SOCK_SEQPACKET, 0),
    "AF_SMC": (43, socket.SOCK_STREAM, 0),
    "netfilter": (16, socket.SOCK_RAW, 12),
    "audit": (16, socket.SOCK_RAW, 9),
    "kobject": (16, socket.SOCK_DGRAM, 15),
    "generic netlink": (16, socket.SOCK_RAW, 16),
}.items():
    attempt(name, lambda: socket.socket(*arguments))
number = 41 if os.uname().machine == "x86_64" else 198
attempt("a family with its upper half set", lambda: call(number, ctypes.c_ulong(0x1_0000_0011), 3, 0x300))
pair = (ctypes.c_int * 2)()
attempt("a pair of another family", lambda: call({"x86_64": 53}.get(os.uname().machine, 199), 30, 2, 0, pair))
"#,
    )
    .all_refused();
}

const UNIX_AND_HOST: &str = r#"
def unix(address):
    s = socket.socket(socket.AF_UNIX)
    s.connect(address)
    return s
for path in E["UNIX"].split(":"):
    attempt(path, lambda: unix(path))
attempt("abstract", lambda: unix("\0" + E["ABSTRACT"]))
attempt("tcp", lambda: connect(("127.0.0.1", int(E["TCP"]))))
"#;

pub(crate) fn host_unix_sockets_are_unreachable() {
    let fixture = Fixture::new(&format!(
        "{UNIX_AND_HOST}
for path in ['/run/dbus/system_bus_socket', '/var/run/docker.sock', '/run/systemd/private', '/dev/log']:
    attempt(path, lambda: unix(path))
"
    ));
    fixture.all_refused();
}

/// The counterpart: these attempts do get through where nothing stops them.
pub(crate) fn the_same_ways_are_open_without_isolation() {
    let mut fixture = Fixture::new(UNIX_AND_HOST);
    fixture.spec.isolation = Isolation::None;
    fixture.spec.run_as = RunAs::Caller;
    let ran = fixture.run();
    assert_eq!(ran.exit, Exit::Code(0), "{}", ran.output);
    assert!(ran.output.contains("THROUGH") && !ran.output.contains("refused"), "{}", ran.output);
}

pub(crate) fn io_uring_and_kernel_interfaces_are_refused() {
    Fixture::new(
        r#"
room = ctypes.create_string_buffer(4096)
zero = ctypes.c_long(0)
for name, number in {"setup": 425, "enter": 426, "register": 427}.items():
    def ring():
        try:
            return call(number, 1, room, zero, zero, zero, zero)
        except OSError as error:
            if error.errno != errno.ENOSYS: return error
            raise
    attempt(f"io_uring {name}", ring)
def forbidden(number, *arguments):
    try:
        return call(number, *arguments)
    except OSError as error:
        # EFAULT or EINVAL would mean that the kernel had looked at it.
        if error.errno != errno.EPERM: return error
        raise
x86 = os.uname().machine == "x86_64"
for name, number in ({"bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "keyctl": 250, "add_key": 248,
        "request_key": 249, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kexec_load": 246,
        "init_module": 175, "finit_module": 313, "open_by_handle_at": 304, "swapon": 167, "reboot": 169,
        "iopl": 172, "ioperm": 173, "modify_ldt": 154, "syslog": 103, "kcmp": 312, "pidfd_getfd": 438} if x86 else
        {"bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "keyctl": 219, "ptrace": 117,
        "process_vm_readv": 270, "open_by_handle_at": 265, "reboot": 142, "pidfd_getfd": 438}).items():
    attempt(name, lambda: forbidden(number, zero, room, zero, zero, zero, zero))
"#,
    )
    .all_refused();
}

pub(crate) fn other_numberings_of_system_calls_kill() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    const SIGSYS: i32 = 31;
    let x32 = "call(0x40000000 + 39)";
    // mov eax, 20 (getpid of i386); int 0x80; ret
    let i386 = r#"
import mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"#;
    for script in [x32, i386] {
        let ran = Fixture::new(script).run();
        assert_eq!(ran.exit, Exit::Signal(SIGSYS), "{}", ran.output);
    }
}

pub(crate) fn host_processes_are_invisible() {
    let fixture = Fixture::new(
        r#"
pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
print("pids", pids, os.getpid())
assert pids == [os.getpid()], pids
for path in ["root", "cwd", "environ", "mem", "exe", "fd", "maps", "ns/net", "cmdline", "mountinfo"]:
    def look():
        path_ = f"/proc/1/{path}"
        try: return os.readlink(path_)
        except OSError: pass
        try: return os.listdir(path_)
        except OSError: pass
        return open(path_, "rb").read()
    attempt(path, look)
attempt("signal to init", lambda: [os.kill(1, 9), time.sleep(0.2), 1 / 0])
attempt("a host's process", lambda: os.kill(int(E["TEST_PID"]), 0))
attempt("ptrace of init", lambda: call(101 if os.uname().machine == "x86_64" else 117, 16, 1, 0, 0))
for path in ["/proc/kcore", "/proc/kallsyms", "/proc/timer_list", "/proc/keys"]:
    def read():
        got = open(path, "rb").read(16)
        if not got: raise EOFError
        return got
    attempt(path, read)
for path in ["/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/hostname"]:
    attempt(path, lambda: open(path, "w").write("1"))
"#,
    );
    let mut fixture = fixture;
    fixture.spec.env.insert("TEST_PID".into(), std::process::id().to_string());
    fixture.all_refused();
}

pub(crate) fn mounts_and_namespaces_are_refused() {
    Fixture::new(
        r#"
for arguments in ["-Ur true", "-Urn true", "-m true", "-n true", "-p true", "-C true", "-i true", "-u true", "-T true"]:
    attempt(f"unshare {arguments}", lambda: run("unshare", *arguments.split()))
attempt("nsenter", lambda: run("nsenter", "-t", "1", "-n", "true"))
attempt("setns", lambda: [libc.setns(os.open("/proc/self/ns/net", os.O_RDONLY), 0) and 1 / 0])
attempt("mount", lambda: run("mount", "-t", "tmpfs", "tmpfs", "/tmp"))
attempt("bind", lambda: run("mount", "--bind", "/data", "/tmp"))
attempt("remount", lambda: run("mount", "-o", "remount,rw", "/usr"))
attempt("unmount", lambda: run("umount", E["DIR"]))
attempt("unmount of hosts", lambda: run("umount", "/etc/hosts"))
attempt("chroot", lambda: os.chroot("/tmp"))
attempt("mknod", lambda: os.mknod("/tmp/sda", 0o60666, os.makedev(8, 0)))
attempt("mknod on the volume", lambda: os.mknod("/data/null", 0o20666, os.makedev(1, 3)))
SIGCHLD = 17
clone = 56 if os.uname().machine == "x86_64" else 220
def child(number, *arguments):
    pid = call(number, *arguments)
    if pid == 0: os._exit(0)
    os.waitpid(pid, 0)
    return pid
for flag in [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]:
    attempt(f"clone {flag:#x}", lambda: child(clone, ctypes.c_ulong(flag | SIGCHLD), 0, 0, 0, 0))
arguments = struct.pack("=QQQQQQQQ", 0x10000000, 0, 0, 0, SIGCHLD, 0, 0, 0)
attempt("clone3", lambda: child(435, arguments, 64))
for name, number in {"open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432, "fspick": 433, "mount_setattr": 442, "open_tree_attr": 467}.items():
    attempt(name, lambda: call(number, b"tmpfs", 0, 0, 0, 0))
for device in ["sda", "vda", "mem", "kmsg", "fuse", "kvm", "net/tun", "loop0", "vsock", "mapper/control"]:
    attempt(device, lambda: os.open("/dev/" + device, os.O_RDONLY))
attempt("sysfs", lambda: os.listdir("/sys"))
"#,
    )
    .all_refused();
}

pub(crate) fn system_files_are_read_only() {
    Fixture::new(
        r#"
for path in ["/etc/x", "/usr/x", "/usr/bin/x", "/opt/x", "/x", "/dev/x", "/etc/hosts", "/etc/resolv.conf",
        "/.sealane/hosts", E["CWD"] + "/x", E["CWD"] + "/service.py"]:
    attempt(path, lambda: open(path, "a").write("x"))
attempt("shadow", lambda: open("/etc/shadow").read())
for path in ["/root", "/home", "/var/log", "/boot", "/mnt", "/srv", "/var/lib"]:
    attempt(path, lambda: os.listdir(path)[0])
attempt("the rest of the cwd's parents", lambda: os.listdir(os.path.dirname(os.path.dirname(E["CWD"]))).remove("volume"))
attempt("beyond scratch", lambda: open("/tmp/x", "wb").write(b"x" * (65 << 20)))
"#,
    )
    .all_refused();
}

pub(crate) fn the_cell_directory_is_hidden() {
    let fixture = Fixture::new(
        r#"
attempt("list", lambda: os.listdir(E["DIR"])[0])
attempt("read", lambda: open(E["DIR"] + "/root.key").read())
attempt("relative", lambda: open("sealane.d/root.key").read())
attempt("through a link", lambda: (os.symlink(E["DIR"], "/tmp/l"), open("/tmp/l/root.key").read()))
attempt("by proc", lambda: open("/proc/self/root" + E["DIR"] + "/root.key").read())
attempt("by proc's cwd", lambda: open("/proc/self/cwd/sealane.d/root.key").read())
attempt("search", lambda: run("grep", "-rs", "root-key", E["CWD"], "--include=*.key"))
"#,
    );
    fixture.all_refused();
    let key = fixture.spec.hidden[0].join("root.key");
    assert_eq!(std::fs::read_to_string(key).expect("the host sees it"), SECRET);
}

pub(crate) fn privileges_cannot_be_gained() {
    let fixture = Fixture::new(
        r#"
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]:
    assert int(status[name], 16) == 0, (name, status[name])
assert int(status["NoNewPrivs"]) == 1 and int(status["Seccomp"]) == 2, status
assert int(status["Uid"].split()[0]) == int(E["EXPECTED_UID"]), status["Uid"]
fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
assert fds[:3] == [0, 1, 2] and len(fds) == 4, fds
assert os.read(0, 1) == b""
for name, act in {"setuid": lambda: os.setuid(0), "setgid": lambda: os.setgid(0),
        "setgroups": lambda: os.setgroups([0]), "another": lambda: os.setresuid(1, 1, 1)}.items():
    attempt(name, act)
attempt("su", lambda: run("su", "-c", "true"))
attempt("set-uid root", lambda: run("/usr/bin/setpriv", "--reuid", "0", "true"))
def keep_bits():
    import shutil
    shutil.copy("/usr/bin/id", "/data/id")
    os.chmod("/data/id", 0o6755)
    return 1 / 0 if run("/data/id", "-u").strip() == E["EXPECTED_UID"] else "changed"
attempt("set-uid on a volume", keep_bits)
for path in ["/usr/bin/su", "/usr/bin/passwd", "/usr/bin/mount"]:
    attempt(f"{path} gains", lambda: 1 / 0 if os.statvfs(path).f_flag & os.ST_NOSUID else "suid")
attempt("chown", lambda: os.chown("/data", 0, 0))
attempt("nice", lambda: os.nice(-5))
attempt("core limit", lambda: __import__("resource").setrlimit(4, (1, 1)))
"#,
    );
    let mut fixture = fixture;
    let uid = if is_root() { SERVICE_UID } else { rustix::process::geteuid().as_raw() };
    fixture.spec.env.insert("EXPECTED_UID".into(), uid.to_string());
    fixture.all_refused();
}

pub(crate) fn a_crash_leaves_no_core() {
    const SIGSEGV: i32 = 11;
    let ran = Fixture::new("os.chdir('/data')\nos.kill(os.getpid(), 11)").run();
    assert_eq!(ran.exit, Exit::Signal(SIGSEGV), "{}", ran.output);
    let fixture = Fixture::new("import resource; print(resource.getrlimit(resource.RLIMIT_CORE))");
    assert_eq!(fixture.run().output.trim(), "(0, 0)");
}
