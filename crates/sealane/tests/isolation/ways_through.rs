//! What must work, and what must be gone when it ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use sealane::launch::cgroup::{CgroupLimits, Cgroups};
use sealane::launch::channel::{Channel, Wait};
use sealane::launch::protocol::{
    Dial, DialOutcome, Dialled, Exit, Isolation, LaunchSpec, Listen, RunAs, VolumeMount,
};
use sealane::launch::{LaunchError, Launched, Output, Step};

use crate::fixture::{self, Fixture, PORT, SERVICE_UID, eventually, is_root};

pub(crate) fn connections_to_mesh_names_are_captured() {
    let fixture = Fixture::new(
        r#"
for host, port in [("100.64.1.7", 6379), ("100.64.1.8", 6379), ("100.127.255.255", 1)]:
    # From one source port, as the kernel does once it runs short of them.
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("100.64.0.1", 40000))
    s.settimeout(20)
    s.connect((host, port))
    print(s.recv(100).decode())
    globals()[host] = s
"#,
    );
    let mut running = fixture.spawn();
    let sockets = running.launched.take_sockets().expect("sockets");
    let capture = TcpListener::from(sockets.capture);
    running.launched.start().expect("a start");
    let mut kept = Vec::new();
    for (host, port) in
        [([100, 64, 1, 7], 6379), ([100, 64, 1, 8], 6379), ([100, 127, 255, 255], 1)]
    {
        let (mut stream, _) = capture.accept().expect("a captured connection");
        let target = sealane::sys::net::original_destination(&stream).expect("where it was going");
        assert_eq!(target, SocketAddrV4::new(Ipv4Addr::from(host), port));
        stream.write_all(format!("to {target}").as_bytes()).expect("a write");
        kept.push(stream);
    }
    assert_eq!(running.exit(), Exit::Code(0));
    assert_eq!(running.output(), "to 100.64.1.7:6379\nto 100.64.1.8:6379\nto 100.127.255.255:1\n");
}

pub(crate) fn names_are_asked_of_the_proxy() {
    let fixture = Fixture::new(
        r#"
def resolve(name):
    try: return sorted({entry[4][0] for entry in socket.getaddrinfo(name, 80, socket.AF_INET)})
    except socket.gaierror as error: return error.errno
for name in ["catalog", "unknown", "example.com", "localhost", "probe"]:
    print(name, resolve(name))
"#,
    );
    let mut running = fixture.spawn();
    let sockets = running.launched.take_sockets().expect("sockets");
    let dns = UdpSocket::from(sockets.dns_udp);
    running.launched.start().expect("a start");
    dns.set_read_timeout(Some(Duration::from_millis(20))).expect("a time-out");
    let exit = eventually("the answers", Duration::from_secs(30), || {
        answer_one(&dns);
        running.launched.wait_exit(Duration::ZERO).expect("an exit")
    });
    assert_eq!(exit, Exit::Code(0));
    let output = running.output();
    let expected = "catalog ['100.64.1.9']\nunknown -2\nexample.com -2\nlocalhost ['127.0.0.1']\nprobe ['100.64.0.1']\n";
    assert_eq!(output, expected);
}

/// `catalog` has an address, all else does not exist.
fn answer_one(dns: &UdpSocket) {
    const NAME: &[u8] = b"\x07catalog\x00";
    let mut query = [0; 512];
    let Ok((length, from)) = dns.recv_from(&mut query) else { return };
    let known = query[12..].starts_with(NAME);
    let question = 12 + query[12..].iter().position(|&byte| byte == 0).expect("a name") + 5;
    assert!(question <= length);
    let mut answer = query[..question].to_vec();
    answer[2] = 0x81;
    answer[3] = if known { 0x80 } else { 0x83 };
    answer[6..12].copy_from_slice(&[0, u8::from(known), 0, 0, 0, 0]);
    if known {
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 100, 64, 1, 9]);
    }
    dns.send_to(&answer, from).expect("an answer");
}

const ECHO_PEER: &str = r#"
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind((E.get("BIND", "0.0.0.0"), 8080))
server.listen(128)
print("listening", flush=True)
while True:
    peer, address = server.accept()
    peer.sendall(address[0].encode())
    peer.close()
"#;

fn read_all(fd: std::os::fd::OwnedFd) -> std::io::Result<String> {
    let mut stream = TcpStream::from(fd);
    stream.set_nonblocking(false)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn dialled_peer(launched: &mut Launched) -> String {
    eventually("a connection", Duration::from_secs(20), || {
        launched.dial(PORT).and_then(read_all).ok().filter(|text| !text.is_empty())
    })
}

pub(crate) fn declared_ports_are_dialled() {
    let fixture = Fixture::new(ECHO_PEER);
    let mut running = fixture.spawn();
    running.launched.start().expect("a start");
    assert_eq!(dialled_peer(&mut running.launched), "100.64.0.2");
    for port in [PORT + 1, 53, 15001] {
        let error = running.launched.dial(port).expect_err("not declared");
        assert!(error.to_string().contains("does not declare"), "{error}");
    }
}

pub(crate) fn loopback_services_are_dialled_from_loopback() {
    let mut fixture = Fixture::new(ECHO_PEER);
    fixture.spec.env.insert("BIND".into(), "127.0.0.1".into());
    let mut running = fixture.spawn();
    running.launched.start().expect("a start");
    assert!(
        eventually("a listener", Duration::from_secs(20), || {
            let inside = running.launched.dial(PORT).and_then(read_all);
            Some(inside.is_err() || inside.is_ok_and(|text| text.is_empty()))
        }),
        "a service on 127.0.0.1 is not reached unless it says so"
    );
    drop(running);
    fixture.spec.listen = Listen::Loopback;
    let mut running = fixture.spawn();
    running.launched.start().expect("a start");
    assert_eq!(dialled_peer(&mut running.launched), "127.0.0.1");
}

pub(crate) fn many_dials_are_in_flight() {
    const DIALS: u64 = 50;
    let fixture = Fixture::new(ECHO_PEER);
    let mut running = fixture.spawn();
    running.launched.start().expect("a start");
    dialled_peer(&mut running.launched);
    let channel: Channel = running.launched.take_dial_channel().expect("a dial channel");
    for id in 0..DIALS {
        let port = if id % 10 == 9 { 1 } else { PORT };
        channel.send(&Dial { id, port }, &[], Wait::Forever).expect("a question");
    }
    for id in 0..DIALS {
        let answer =
            channel.receive::<Dialled>(Wait::Forever).expect("an answer").expect("an init");
        assert_eq!(answer.message.id, id);
        if id % 10 == 9 {
            assert_eq!(
                (answer.message.outcome, answer.descriptors.len()),
                (DialOutcome::PortUndeclared, 0)
            );
            continue;
        }
        assert_eq!(answer.message.outcome, DialOutcome::Connecting);
        let socket = answer.descriptors.into_iter().next().expect("a socket");
        assert_eq!(read_all(socket).expect("a connection"), "100.64.0.2");
    }
    // Nonsense on it, or its end, does not end the service.
    channel.send(&"nonsense", &[], Wait::Forever).expect("a message");
    drop(channel);
    assert_eq!(dialled_peer(&mut running.launched), "100.64.0.2");
}

pub(crate) fn volumes_are_written_and_output_is_kept() {
    let fixture = Fixture::new(
        r#"
open("/data/file", "w").write("kept")
open(E["HOME"] + "/scratch", "w").write("gone")
print("to stdout"); sys.stdout.flush(); print("to stderr", file=sys.stderr)
print(socket.gethostname(), os.getcwd() == E["CWD"], len(os.urandom(8)), open("/dev/null").read() == "")
sys.exit(7)
"#,
    );
    let ran = fixture.run();
    assert_eq!(ran.exit, Exit::Code(7), "{}", ran.output);
    assert_eq!(ran.output, "to stdout\nto stderr\nprobe True 8 True\n");
    let file = fixture.path("volume/file");
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "kept");
    if is_root() {
        use std::os::unix::fs::MetadataExt as _;
        assert_eq!(std::fs::metadata(&file).expect("the file").uid(), SERVICE_UID);
    }
    assert!(!Path::new("/tmp/scratch").exists());
}

pub(crate) fn a_service_is_started_again() {
    let fixture =
        Fixture::new("subprocess.Popen(['sleep', '1000'])\nprint('run', flush=True)\nsys.exit(3)");
    let mut running = fixture.spawn();
    let first_init = running.launched.init_pid();
    for _ in 0..3 {
        running.launched.start().expect("a start");
        assert!(running.launched.service_pid().is_some());
        assert_eq!(running.exit(), Exit::Code(3));
        assert_eq!(running.launched.service_pid(), None);
    }
    assert_eq!(running.launched.init_pid(), first_init);
    assert_eq!(running.output(), "run\nrun\nrun\n");
}

pub(crate) fn a_service_that_ignores_sigterm_is_killed() {
    let polite = Fixture::new("print('up', flush=True)\ntime.sleep(1000)");
    let stubborn = Fixture::new(
        "import signal; signal.signal(15, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(1000)",
    );
    for (fixture, signal) in [(polite, 15), (stubborn, 9)] {
        let (mut launched, reader) = fixture::spawn(&fixture.spec);
        launched.start().expect("a start");
        let mut line = String::new();
        BufReader::new(std::fs::File::from(reader)).read_line(&mut line).expect("output");
        let began = Instant::now();
        let grace = Duration::from_millis(300);
        launched.stop(grace).expect("a stop");
        let exit = launched.wait_exit(Duration::from_secs(20)).expect("an init").expect("an exit");
        assert_eq!(exit, Exit::Signal(signal));
        assert!(signal == 15 || began.elapsed() >= grace, "killed before its grace was over");
    }
}

/// Processes in the network namespace of `inode`.
fn processes_in(namespace: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        if std::fs::read_link(entry.path().join("ns/net")).is_ok_and(|link| link == namespace) {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

/// Processes whose working directory is this one: by it the descendants of a plain service show.
fn processes_at(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        if std::fs::read_link(entry.path().join("cwd")).is_ok_and(|link| link == directory) {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

const FAMILY: &str = r#"
# Its own session, its own group, its signals ignored: it dies all the same.
import signal
if os.fork() == 0:
    os.setsid()
    for number in range(1, 32):
        try: signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError): pass
    if os.fork() == 0: time.sleep(1000)
    time.sleep(1000)
print("up", flush=True)
time.sleep(1000)
"#;

/// A zombie whose parent does not care is dead enough.
fn alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
}

pub(crate) fn ending_leaves_nothing() {
    let fixture = Fixture::new(FAMILY);
    let (mut launched, reader) = fixture::spawn(&fixture.spec);
    launched.start().expect("a start");
    let mut line = String::new();
    BufReader::new(std::fs::File::from(reader)).read_line(&mut line).expect("output");
    let (init, service) = (launched.init_pid(), launched.service_pid().expect("a service"));
    let own = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
    let inside = std::fs::read_link(format!("/proc/{service}/ns/net"));
    launched.end();
    assert!(!alive(init) && !alive(service));
    if let Ok(inside) = inside {
        assert_ne!(inside, own);
        assert_eq!(processes_in(&inside), Vec::<String>::new());
    }
}

/// The process that [`a_killed_supervisor_takes_all_with_it`] kills.
pub(crate) fn supervise(spec: &Path) -> ExitCode {
    let spec: LaunchSpec =
        serde_json::from_slice(&std::fs::read(spec).expect("a file")).expect("a spec");
    let (mut launched, reader) = fixture::spawn(&spec);
    launched.start().expect("a start");
    let mut line = String::new();
    BufReader::new(std::fs::File::from(reader)).read_line(&mut line).expect("output");
    println!("{} {}", launched.init_pid(), launched.service_pid().expect("a service"));
    std::thread::sleep(Duration::from_secs(60));
    ExitCode::FAILURE
}

pub(crate) fn a_killed_supervisor_takes_all_with_it() {
    for isolation in [Isolation::Full, Isolation::None] {
        let mut fixture = Fixture::new(FAMILY);
        fixture.spec.isolation = isolation;
        if isolation == Isolation::None {
            fixture.spec.run_as = RunAs::Caller;
        }
        let file = fixture.path("spec.json");
        std::fs::write(&file, serde_json::to_vec(&fixture.spec).expect("JSON")).expect("a file");
        let mut supervisor = Command::new("/proc/self/exe")
            .arg("__supervise")
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a supervisor");
        let mut line = String::new();
        BufReader::new(supervisor.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("pids");
        let pids: Vec<i32> =
            line.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect();
        assert_eq!(pids.len(), 2, "{line}");
        let inside = std::fs::read_link(format!("/proc/{}/ns/net", pids[1]));
        supervisor.kill().expect("a kill");
        supervisor.wait().expect("an end");
        eventually("all are gone", Duration::from_secs(1), || {
            pids.iter().all(|&pid| !alive(pid)).then_some(())
        });
        if let (Ok(inside), Isolation::Full) = (inside, isolation) {
            assert_eq!(processes_in(&inside), Vec::<String>::new());
        }
        eventually("no descendant is left", Duration::from_secs(1), || {
            processes_at(&fixture.spec.cwd).is_empty().then_some(())
        });
    }
}

fn launch_error(spec: &LaunchSpec) -> LaunchError {
    let (_reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let output = Output { stdout: writer.try_clone().expect("a descriptor"), stderr: writer };
    match Launched::spawn(Path::new("/proc/self/exe"), spec, &output, None) {
        Ok(mut launched) => launched.start().expect_err("it cannot start"),
        Err(error) => error,
    }
}

pub(crate) fn failures_say_what_to_do() {
    let check = |change: &dyn Fn(&mut LaunchSpec), step: Step, says: &[&str]| {
        let mut fixture = Fixture::new("");
        change(&mut fixture.spec);
        let error = launch_error(&fixture.spec);
        assert_eq!(error.step, step, "{error}");
        for part in says {
            assert!(error.to_string().contains(part), "{error}");
        }
    };
    check(
        &|spec| spec.run = vec!["no-such-program".into()],
        Step::StartProgram,
        &["no-such-program", "PATH"],
    );
    check(
        &|spec| spec.run = vec!["./service.py".into()],
        Step::StartProgram,
        &["Permission denied", "executable"],
    );
    check(
        &|spec| spec.cwd = "/no/such/directory".into(),
        Step::MountRoot,
        &["/no/such/directory", "No such file"],
    );
    let volume =
        |source: &str, at: &str| vec![VolumeMount { source: source.into(), at: at.into() }];
    check(&|spec| spec.volumes = volume("/no/such", "/data"), Step::MountVolume, &["/no/such"]);
    check(
        &|spec| spec.volumes = volume("/tmp", "/usr/no-such"),
        Step::MountVolume,
        &["/usr/no-such", "Read-only", "create the directory"],
    );
    if is_root() {
        check(&|spec| spec.run_as = RunAs::Caller, Step::ReadSpec, &["root", "run_as"]);
        let closed = |spec: &mut LaunchSpec| {
            std::fs::set_permissions(
                &spec.cwd,
                std::os::unix::fs::PermissionsExt::from_mode(0o700),
            )
            .expect("a mode");
        };
        check(&closed, Step::EnterWorkingDirectory, &["chmod"]);
    } else {
        check(&|spec| spec.run_as = RunAs::Ids { uid: 5, gid: 5 }, Step::ReadSpec, &["only root"]);
    }
}

pub(crate) fn plain_services_run_and_end() {
    let mut fixture = Fixture::new(&format!("assert os.getsid(0) == os.getpid()\n{ECHO_PEER}"));
    fixture.spec.isolation = Isolation::None;
    fixture.spec.run_as = RunAs::Caller;
    // The host's ports are everybody's here: one that is free.
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a port")
        .port();
    let script = fixture.spec.cwd.join("service.py");
    let text =
        std::fs::read_to_string(&script).expect("a script").replace("8080", &port.to_string());
    std::fs::write(&script, text).expect("a script");
    fixture.spec.ports = vec![port];
    let mut running = fixture.spawn();
    assert!(running.launched.take_sockets().is_none());
    running.launched.start().expect("a start");
    let peer = eventually("a connection", Duration::from_secs(20), || {
        running.launched.dial(port).and_then(read_all).ok().filter(|text| !text.is_empty())
    });
    assert_eq!(peer, "127.0.0.1");
    let service = running.launched.service_pid().expect("a service");
    running.launched.end();
    assert!(!alive(service));
}

pub(crate) fn redis_runs() {
    let mut fixture = Fixture::new("");
    fixture.spec.run = [
        "redis-server",
        "--dir",
        "/data",
        "--appendonly",
        "yes",
        "--port",
        "8080",
        "--protected-mode",
        "no",
    ]
    .map(String::from)
    .to_vec();
    let mut running = fixture.spawn();
    running.launched.start().unwrap_or_else(|error| panic!("{error}"));
    let pong = eventually("redis", Duration::from_secs(20), || {
        let mut stream = TcpStream::from(running.launched.dial(PORT).ok()?);
        stream.set_nonblocking(false).ok()?;
        stream.write_all(b"SET a b\r\nGET a\r\n").ok()?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).ok()?;
        Some(answer)
    });
    assert_eq!(&pong, b"+OK\r\n$1\r\nb\r\n");
    running.launched.stop(Duration::from_secs(10)).expect("a stop");
    assert_eq!(running.exit(), Exit::Code(0));
    assert!(fixture.path("volume/appendonlydir").exists());
}

/// As where systemd-resolved runs: /etc/resolv.conf is a link into /run, which is empty inside.
pub(crate) fn linked_name_files_are_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let etc = directory.path().join("etc");
    let script = format!(
        "set -e; cp -a /etc {etc}; ln -sf ../run/systemd/resolve/stub-resolv.conf {etc}/resolv.conf; \
         ln -sf /run/hosts {etc}/hosts; mount --bind {etc} /etc; exec /proc/{pid}/exe __case names_are_asked_of_the_proxy",
        etc = etc.display(),
        pid = std::process::id(),
    );
    let output =
        Command::new("unshare").args(["-m", "sh", "-c", &script]).output().expect("unshare");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// As the supervisor of a cell without root is, which mounts its volumes there.
pub(crate) fn root_inside_a_user_namespace_launches_too() {
    use std::os::unix::process::CommandExt as _;
    let exe =
        tempfile::Builder::new().permissions(crate::mode(0o755)).tempdir().expect("a directory");
    let copy = exe.path().join("isolation");
    std::fs::copy("/proc/self/exe", &copy).expect("a copy");
    let output = Command::new("unshare")
        .args(["-Urm", "--"])
        .arg(&copy)
        .arg("__userns")
        .uid(crate::NOBODY)
        .gid(crate::NOBODY)
        .current_dir("/")
        .output()
        .expect("unshare");
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}

/// Run by [`root_inside_a_user_namespace_launches_too`].
pub(crate) fn inside_a_user_namespace() {
    let mut fixture = Fixture::new(
        "open('/data/file', 'w').write('kept')\nattempt('sibling', lambda: os.listdir(E['DIR']))\nprint(os.getuid())\n",
    );
    fixture.spec.run_as = RunAs::Caller;
    // The uid that the fixture gives volumes to does not exist here: it is the caller's.
    let volume = fixture.spec.hidden[0].join("mounts/redis");
    std::fs::create_dir_all(&volume).expect("a directory");
    rustix::mount::mount("tmpfs", &volume, "tmpfs", rustix::mount::MountFlags::empty(), None)
        .expect("a mount");
    fixture.spec.volumes = vec![VolumeMount { source: volume.clone(), at: "/data".into() }];
    let ran = fixture.run();
    assert_eq!(ran.exit, Exit::Code(0), "{}", ran.output);
    assert!(
        ran.output.starts_with("refused sibling")
            && ran.output.ends_with(&format!("{}\n", crate::NOBODY)),
        "{}",
        ran.output
    );
    assert_eq!(std::fs::read_to_string(volume.join("file")).expect("the file"), "kept");
    rustix::mount::unmount(&volume, rustix::mount::UnmountFlags::empty()).expect("nobody holds it");
}

pub(crate) fn cgroups_hold_and_kill() {
    let groups = Cgroups::find().expect("cgroup2");
    let prefix = format!("sealane-test-{}", std::process::id());
    let limits = CgroupLimits { memory_bytes_max: Some(1 << 30), processes_max: Some(100) };
    let (group, warnings) = groups.create(&format!("{prefix}.web"), limits).expect("a group");
    for warning in &warnings {
        assert!(warning.contains("not enforced"), "{warning}");
    }
    let fixture = Fixture::new(FAMILY);
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let output = Output { stdout: writer.try_clone().expect("a descriptor"), stderr: writer };
    let mut launched =
        Launched::spawn(Path::new("/proc/self/exe"), &fixture.spec, &output, Some(&group))
            .expect("a launch");
    launched.start().expect("a start");
    let mut line = String::new();
    BufReader::new(std::fs::File::from(reader)).read_line(&mut line).expect("output");
    let family = 3;
    let stages = 2;
    eventually("the whole family", Duration::from_secs(10), || {
        (group.pids().expect("pids").len() == family + stages).then_some(())
    });
    assert_eq!(groups.leftovers(&prefix).expect("groups"), std::slice::from_ref(&group));
    assert!(group.remove(Duration::ZERO).is_err(), "a group with processes was removed");
    group.kill().expect("a kill");
    launched
        .wait_exit(Duration::from_secs(10))
        .expect_err("the launcher was killed with the service");
    drop(launched);
    group.remove(Duration::from_secs(5)).expect("a removal");
    assert_eq!(groups.leftovers(&prefix).expect("groups"), []);
}
