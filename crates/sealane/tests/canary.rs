//! The canary hunt: what applications store is found nowhere in the clear.
//!
//! Built with the feature `plaintext-for-tests`, which seals nothing, the same hunt must find its
//! canaries: so it is known to look in the right places.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aho_corasick::AhoCorasick;
use crypto::Entropy as _;
use support::TestCell;

const HOSTS: [&str; 2] = ["acme.shop.localhost", "globex.shop.localhost"];
const CANARIES: usize = 20;

fn main() {
    support::main(vec![("canaries_are_nowhere_in_the_clear", hunt)]);
}

fn hunt() {
    let mut cell = TestCell::new(|cell| cell);
    cell.up();
    let capture = Capture::start(&cell.folder.path().join("packets.pcap"));
    let canaries: Vec<_> = (0..CANARIES).map(|_| Canary::new()).collect();
    for (canary, host) in canaries.iter().zip(HOSTS.iter().cycle()) {
        let client = cell.client(host);
        let put = client.put(&canary.path(), &canary.0).unwrap();
        assert!((200..300).contains(&put.status), "{put:?}");
        assert_eq!(client.get(&canary.path()).unwrap().body, canary.0);
    }
    let packets = capture.stop();
    let mut hunt = Hunt::new(&canaries);
    hunt.search(&packets, "packets");

    hunt.search_tree(&cell.dir(), "DIR of the running cell");
    // A crash must not write memory to disk either.
    for role in ["proxy acme/catalog", "volume acme/redis"] {
        let pid = rustix::process::Pid::from_raw(cell.child(role).cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::ABORT).unwrap();
    }
    std::thread::sleep(Duration::from_secs(1));
    let cores = files_below(cell.folder.path())
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("core")));
    assert_eq!(cores.collect::<Vec<_>>(), Vec::<PathBuf>::new(), "no core is left");
    cell.kill_everything();
    hunt.search_tree(&cell.dir(), "DIR after kill -9");

    if cfg!(feature = "plaintext-for-tests") {
        for place in ["packets", "DIR of the running cell", "DIR after kill -9"] {
            let here = hunt.found.iter().filter(|line| line.starts_with(place)).count();
            assert!(here >= CANARIES / 2, "unsealed, the hunt finds canaries in {place}: {here}");
        }
    } else {
        assert_eq!(hunt.found, Vec::<String>::new());
    }
}

/// 32 random bytes. The item's name carries another 16 of them in hex, since names are data too.
struct Canary([u8; 32]);

impl Canary {
    fn new() -> Self {
        let mut bytes = [0; 32];
        crypto::SystemEntropy::new().fill(&mut bytes);
        Self(bytes)
    }

    fn path(&self) -> String {
        format!("/items/{}", &hex(&self.0)[..32])
    }

    /// Every form that is looked for: raw, hex of both cases, and base64 at each of its three
    /// alignments, less the first and last letters, which depend on the neighbours.
    fn forms(&self) -> Vec<(&'static str, Vec<u8>)> {
        let digits = hex(&self.0);
        let mut forms = vec![
            ("raw", self.0.to_vec()),
            ("name", digits.as_bytes()[..32].to_vec()),
            ("hex", digits.as_bytes().to_vec()),
            ("HEX", digits.to_uppercase().into_bytes()),
        ];
        for (skip, name) in [(0, "base64"), (1, "base64 + 1"), (2, "base64 + 2")] {
            let whole = &self.0[skip..skip + 30];
            for engine in [
                &base64::engine::general_purpose::STANDARD,
                &base64::engine::general_purpose::URL_SAFE,
            ] {
                forms.push((name, base64::Engine::encode(engine, whole).into_bytes()));
            }
        }
        forms
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// All forms of all canaries, searched for at once: there may be gigabytes to look through.
struct Hunt {
    forms: Vec<(usize, &'static str)>,
    automaton: AhoCorasick,
    found: Vec<String>,
}

impl Hunt {
    fn new(canaries: &[Canary]) -> Self {
        let all: Vec<_> = canaries
            .iter()
            .enumerate()
            .flat_map(|(number, c)| c.forms().into_iter().map(move |(f, n)| ((number, f), n)))
            .collect();
        let (forms, needles): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        Self { forms, automaton: AhoCorasick::new(needles).unwrap(), found: Vec::new() }
    }

    fn search(&mut self, bytes: &[u8], place: &str) {
        let mut seen = std::collections::BTreeSet::new();
        for hit in self.automaton.find_overlapping_iter(bytes) {
            let (number, form) = self.forms[hit.pattern().as_usize()];
            if seen.insert((number, form)) {
                let at = hit.start();
                self.found.push(format!("{place}: canary {number}, {form}, at byte {at}"));
            }
        }
    }

    fn search_tree(&mut self, root: &Path, place: &str) {
        let files = files_below(root);
        assert!(files.len() > 5, "{place} holds files to search: {files:?}");
        for path in files {
            // A socket cannot be read, and a file may vanish while the cell runs.
            let Ok(bytes) = fs::read(&path) else { continue };
            self.search(&bytes, &format!("{place}: {}", path.display()));
            let name = path.to_string_lossy().into_owned();
            self.search(name.as_bytes(), &format!("{place}: name of {name}"));
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> bool {
    AhoCorasick::new([needle]).unwrap().is_match(haystack)
}

fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(_) => found.push(entry.path()),
                Err(_) => {}
            }
        }
    }
    found
}

/// All packets on the loopback device, where the cell's proxies meet.
struct Capture {
    process: Child,
    file: PathBuf,
}

impl Capture {
    fn start(file: &Path) -> Self {
        // dumpcap refuses to write where others may not, so the file is made first.
        fs::write(file, b"").unwrap();
        let process = Command::new("tshark")
            .args(["-q", "-i", "lo", "-B", "64", "-F", "pcap", "-w"])
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tshark is installed");
        let capture = Self { process, file: file.to_owned() };
        // It captures once a packet of ours shows up in the file.
        let deadline = Instant::now() + Duration::from_secs(20);
        while !capture.sees(b"is the capture on?") {
            assert!(Instant::now() < deadline, "tshark captures nothing on lo");
        }
        capture
    }

    fn sees(&self, marker: &[u8]) -> bool {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(marker, "127.0.0.1:9").unwrap();
        std::thread::sleep(Duration::from_millis(200));
        find(&fs::read(&self.file).unwrap(), marker)
    }

    fn stop(mut self) -> Vec<u8> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.sees(b"is everything written?") {
            assert!(Instant::now() < deadline, "tshark wrote nothing more");
        }
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.process.wait().unwrap();
        fs::read(&self.file).unwrap()
    }
}
