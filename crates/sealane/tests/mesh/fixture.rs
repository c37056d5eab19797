//! One cell for all tests of the mesh: agents that run what a test posts, peers that behave in
//! every way that TCP allows, and third parties with good and bad certificates.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::support::{TestCell, free_port, text};

pub(crate) const AGENT: &str = "agent.mesh.localhost";
pub(crate) const LONELY: &str = "lonely.mesh.localhost";
pub(crate) const GLOBEX: &str = "globex.mesh.localhost";
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// What third parties are called, whose name is in the certificate, who signed it, until when.
const THIRD_PARTIES: [(&str, &str, &str, &str); 5] = [
    ("payments.example", "payments.example", "ca", FAR),
    ("narrow.example", "narrow.example", "ca", FAR),
    ("misnamed.example", "payments.example", "ca", FAR),
    ("stranger.example", "stranger.example", "other", FAR),
    ("expired.example", "expired.example", "ca", "20210101000000Z"),
];
const FAR: &str = "20360101000000Z";

pub(crate) struct MeshCell {
    pub(crate) cell: TestCell,
    third_parties: Vec<Child>,
}

static CELL: Mutex<Option<MeshCell>> = Mutex::new(None);

/// The cell, started by whoever needs it first. One test has it at a time.
pub(crate) struct Shared(MutexGuard<'static, Option<MeshCell>>);

pub(crate) fn shared() -> Shared {
    let mut cell = CELL.lock().unwrap_or_else(PoisonError::into_inner);
    if cell.is_none() {
        *cell = Some(MeshCell::start());
    }
    Shared(cell)
}

/// Ends the cell, and gives whether that went well.
pub(crate) fn end() -> bool {
    let cell = CELL.lock().unwrap_or_else(PoisonError::into_inner).take();
    cell.is_none_or(|mut cell| cell.cell.interrupt())
}

impl std::ops::Deref for Shared {
    type Target = MeshCell;

    fn deref(&self) -> &MeshCell {
        self.0.as_ref().unwrap()
    }
}

impl std::ops::DerefMut for Shared {
    fn deref_mut(&mut self) -> &mut MeshCell {
        self.0.as_mut().unwrap()
    }
}

impl Drop for MeshCell {
    fn drop(&mut self) {
        for server in &mut self.third_parties {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

impl MeshCell {
    fn start() -> Self {
        let ports = THIRD_PARTIES.map(|_| free_port());
        let mut cell = TestCell::new(|example| {
            let listen = example.lines().find(|line| line.starts_with("listen")).unwrap();
            cell_file(listen, &ports)
        });
        let folder = cell.folder.path().to_owned();
        for program in ["agent.py", "peer.py"] {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mesh").join(program);
            fs::copy(source, folder.join(program)).unwrap();
        }
        let servers = third_parties(&folder.join("third parties"), &ports);
        fs::copy(folder.join("third parties/ca.pem"), folder.join("ca.pem")).unwrap();
        cell.up();
        Self { cell, third_parties: servers }
    }

    /// Runs Python in the agent behind `host`, and gives what it prints.
    pub(crate) fn run(&self, host: &str, code: &str) -> String {
        let client = self.cell.client(host);
        let answer = client.connect().and_then(|mut c| c.request("POST", "/", code.as_bytes()));
        let answer = answer.unwrap_or_else(|e| panic!("{e}; up said:\n{}", self.cell.output()));
        let said = text(&answer.body);
        assert_eq!(answer.status, 200, "{code}\n{said}\nup said:\n{}", self.cell.output());
        said.trim_end().to_owned()
    }

    /// Runs `code` and asserts what it prints.
    pub(crate) fn prints(&self, host: &str, code: &str, expected: &str) {
        let said = self.run(host, code);
        assert_eq!(said, expected, "{code}\nup said:\n{}", self.cell.output());
    }

    /// Waits until one line of what `up` says holds all of `words`.
    pub(crate) fn says(&self, words: &[&str]) {
        let deadline = Instant::now() + SOON;
        while !self.cell.output().lines().any(|line| words.iter().all(|word| line.contains(word))) {
            assert!(Instant::now() < deadline, "no line says {words:?}:\n{}", self.cell.output());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where the process that runs as `role` listens on the host.
    pub(crate) fn listens(&self, role: &str) -> u16 {
        let pid = self.cell.child(role);
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let links = fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
        let sockets: Vec<_> = links.map(|link| link.display().to_string()).collect();
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut own = lines.filter(|fields| {
            fields[3] == "0A" && sockets.contains(&format!("socket:[{}]", fields[9]))
        });
        let fields = own.next().expect("a proxy listens for tunnels");
        u16::from_str_radix(fields[1].rsplit_once(':').unwrap().1, 16).unwrap()
    }

    /// Resident memory of the process that runs as `role`.
    pub(crate) fn resident_bytes(&self, role: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.cell.child(role))).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Kills the process that runs as `role`, and waits until another one serves.
    pub(crate) fn kill(&mut self, role: &str) {
        let old = self.cell.child(role);
        let pid = rustix::process::Pid::from_raw(old.cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let deadline = Instant::now() + SOON;
        while self.cell.child(role) == old {
            assert!(Instant::now() < deadline, "{role} does not come back");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn cell_file(listen: &str, ports: &[u16]) -> String {
    let names = THIRD_PARTIES.map(|(name, ..)| format!("\"{name}:443\"")).join(", ");
    let resolve: Vec<_> = THIRD_PARTIES
        .iter()
        .zip(ports)
        .map(|((name, ..), port)| format!("\"{name}:443\" = \"127.0.0.1:{port}\""))
        .collect();
    let resolve = resolve.join(", ");
    format!(
        r#"
[cell]
name = "mesh"
trust_domain = "mesh.example"
svid_ttl = "10s"

[tenant.acme]
[tenant.globex]

[service.agent]
tenants = ["acme", "globex"]
run = ["python3", "agent.py"]
port = 8080
may_call = ["peer:9001", "peer:9002", "peer:9003", "peer:9004", "peer:9005", "peer:9006",
            "peer:9007", "redis:6379", "narrow.example:443"]

[service.lonely]
tenants = ["acme"]
run = ["python3", "agent.py"]
port = 8080

[service.peer]
tenants = ["acme", "globex"]
run = ["python3", "peer.py", "9001", "9002", "9003", "9004", "9005", "9006", "9007"]
ports = [9001, 9002, 9003, 9004, 9005, 9006, 9007]

[service.hidden]
tenants = ["acme"]
run = ["python3", "peer.py", "9001"]
port = 9001

[service.redis]
tenants = ["acme", "globex"]
run = ["redis-server", "--port", "6379", "--save", "", "--protected-mode", "no"]
port = 6379

[ingress]
{listen}
route = [
  {{ host = "{AGENT}", tenant = "acme", to = "agent:8080" }},
  {{ host = "{LONELY}", tenant = "acme", to = "lonely:8080" }},
  {{ host = "{GLOBEX}", tenant = "globex", to = "agent:8080" }},
]

[egress]
allow = [{names}]
roots = ["ca.pem"]
resolve = {{ {resolve} }}
"#
    )
}

const OPENSSL_CONFIG: &str = "
[ca]
default_ca = test
[test]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = names
copy_extensions = copy
unique_subject = no
[names]
commonName = supplied
[req]
distinguished_name = nothing
[nothing]
[root]
basicConstraints = critical, CA:TRUE
";

/// Starts TLS servers of another make than ours.
fn third_parties(folder: &Path, ports: &[u16]) -> Vec<Child> {
    fs::create_dir(folder).unwrap();
    fs::write(folder.join("openssl.cnf"), OPENSSL_CONFIG).unwrap();
    fs::write(folder.join("index.txt"), "").unwrap();
    fs::write(folder.join("serial"), "1000\n").unwrap();
    let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    for ca in ["ca", "other"] {
        let (key, cert, subject) = (format!("{ca}.key"), format!("{ca}.pem"), format!("/CN={ca}"));
        let mut arguments = vec!["req", "-config", "openssl.cnf", "-x509", "-extensions", "root"];
        arguments.extend(["-days", "2", "-subj", &subject, "-keyout", &key, "-out", &cert]);
        arguments.extend(new_key);
        openssl(folder, &arguments);
    }
    let server = |((name, certified, ca, until), port): (&(&str, &str, &str, &str), &u16)| {
        let file = |end: &str| format!("{name}.{end}");
        let (key, csr, cert) = (file("key"), file("csr"), file("pem"));
        let (subject, san) = (format!("/CN={name}"), format!("subjectAltName=DNS:{certified}"));
        let mut arguments = vec!["req", "-config", "openssl.cnf", "-new", "-subj", &subject];
        arguments.extend(["-addext", &san, "-keyout", &key, "-out", &csr]);
        arguments.extend(new_key);
        openssl(folder, &arguments);
        let (ca_cert, ca_key) = (format!("{ca}.pem"), format!("{ca}.key"));
        let mut arguments = vec!["ca", "-config", "openssl.cnf", "-batch", "-notext"];
        arguments.extend(["-cert", &ca_cert, "-keyfile", &ca_key, "-in", &csr, "-out", &cert]);
        arguments.extend(["-startdate", "20200101000000Z", "-enddate", until]);
        openssl(folder, &arguments);
        let accept = format!("127.0.0.1:{port}");
        let mut server = Command::new("openssl");
        server.args(["s_server", "-quiet", "-www", "-accept", &accept]);
        server.args(["-cert", &cert, "-key", &key]).current_dir(folder);
        let server = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        server.spawn().unwrap()
    };
    let servers = THIRD_PARTIES.iter().zip(ports).map(server).collect();
    for port in ports {
        let deadline = Instant::now() + SOON;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err() {
            assert!(Instant::now() < deadline, "openssl s_server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    servers
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {}", text(&output.stderr));
}

/// Addresses of this machine that are not loopback ones.
pub(crate) fn host_addresses() -> Vec<String> {
    let output = Command::new("hostname").arg("-I").output().unwrap();
    text(&output.stdout).split_whitespace().map(str::to_owned).collect()
}
