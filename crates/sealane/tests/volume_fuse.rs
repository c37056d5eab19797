//! A sealed volume under a real file system: FUSE, a loop device, ext4, and `kill -9`.
//!
//! Needs root, `/dev/fuse`, loop devices and e2fsprogs. The test runs itself again in a mount
//! namespace of its own, so that whatever it leaves mounted goes with it; the server, which is to
//! be killed, is this very program too.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crypto::{DataKey, Id, SystemEntropy};
use libtest_mimic::{Arguments, Failed, Trial};
use sealane::disk::{AttachedVolume, FolderDisk};
use sealane::fuse_file::{self, FileOwner};
use sim::entropy::SeededEntropy;
use volume::{Anchor, AttachNo, ByteLen, Engine, Epoch, Freshness, Identity, Params};

const SERVE: &str = "SEALANE_TEST_SERVE_VOLUME";
const INSIDE: &str = "SEALANE_TEST_IN_MOUNT_NAMESPACE";
const SIZE: ByteLen = ByteLen(96 << 20);
const DEADLINE: Duration = Duration::from_secs(20);
const KILLS: u64 = 10;

fn main() {
    if let Some(root) = std::env::var_os(SERVE) {
        return serve(Path::new(&root));
    }
    let root = rustix::process::geteuid().is_root();
    if root && std::env::var_os(INSIDE).is_none() {
        let error = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .arg(std::env::current_exe().unwrap())
            .args(std::env::args_os().skip(1))
            .env(INSIDE, "1")
            .exec();
        panic!("unshare: {error}");
    }
    let trial = |name: &str, test: fn() -> Result<(), Failed>| {
        Trial::test(name, test).with_ignored_flag(!root)
    };
    let trials = vec![
        trial("root: ext4_on_a_sealed_volume_survives_detach_and_attach", ext4_survives),
        trial("root: what_was_fsynced_survives_kill_9", fsynced_survives_kills),
        trial("root: trim_reaches_the_volume_through_ext4", trim_reaches),
        trial("root: a_frozen_volume_answers_with_errors", frozen_answers_errors),
        trial("root: the_file_reads_writes_and_punches_at_any_offset", any_offset),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn key() -> DataKey {
    DataKey::from_caller(&[7; 32]).unwrap()
}

/// The server's side: attaches the volume in ROOT/volume, mounts at ROOT/file, serves until it is
/// unmounted. Takes `stats` and `freeze` on its standard input.
fn serve(root: &Path) {
    let identity = Identity { volume: Id::from_bytes([3; 16]), epoch: Epoch(1) };
    let mut disk = FolderDisk::open(&root.join("volume")).unwrap();
    let anchor_path = root.join("anchor.json");
    let (attach, freshness) = match fs::read(&anchor_path) {
        Ok(bytes) => {
            let anchor: Anchor = serde_json::from_slice(&bytes).unwrap();
            (AttachNo(anchor.attach.0 + 1), Freshness::Extends(anchor))
        }
        Err(_) => {
            let Identity { volume, epoch } = identity;
            let segment_bytes = 1 << 20;
            let params = Params { volume, epoch, size: SIZE, segment_bytes };
            Engine::format(&params, key(), &mut disk).unwrap();
            (AttachNo(1), Freshness::NeverAnchored)
        }
    };
    let mut entropy = SystemEntropy::new();
    let mut engine = Engine::open(identity, key(), disk, attach, freshness, &mut entropy).unwrap();
    fs::write(&anchor_path, serde_json::to_vec(&engine.anchor()).unwrap()).unwrap();
    let volume = Arc::new(AttachedVolume::new(engine));
    let owner = FileOwner { uid: 0, gid: 0, mode: 0o600 };
    let fuse = fuse_file::mount_fd(&root.join("file"), &owner).unwrap();
    let control = volume.clone();
    std::thread::spawn(move || {
        println!("serving");
        for line in std::io::stdin().lines() {
            match line.unwrap().as_str() {
                "freeze" => {
                    control.freeze();
                    println!("frozen");
                }
                _ => println!("{}", serde_json::to_string(&control.stats().unwrap()).unwrap()),
            }
        }
    });
    fuse_file::serve(volume, fuse, owner).unwrap();
    // The control thread may still wait for input.
    std::process::exit(0);
}

/// A served volume; dropped, it is killed and everything is unmounted.
struct Served {
    root: PathBuf,
    server: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
    device: Option<String>,
    mounted: bool,
}

impl Served {
    fn start(root: &Path) -> Self {
        for name in ["volume", "file", "ext4"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let mut server = Command::new(std::env::current_exe().unwrap())
            .env(SERVE, root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = server.stdin.take().unwrap();
        let output = BufReader::new(server.stdout.take().unwrap());
        let mut served =
            Self { root: root.to_owned(), server, input, output, device: None, mounted: false };
        assert_eq!(served.line(), "serving");
        served
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn ask(&mut self, question: &str) -> String {
        writeln!(self.input, "{question}").unwrap();
        self.line()
    }

    fn blocks_mapped(&mut self) -> u64 {
        let stats: serde_json::Value = serde_json::from_str(&self.ask("stats")).unwrap();
        stats["blocks_mapped"].as_u64().unwrap()
    }

    fn file(&self) -> PathBuf {
        self.root.join("file").join(fuse_file::FILE_NAME)
    }

    fn ext4(&self) -> PathBuf {
        self.root.join("ext4")
    }

    fn attach_loop(&mut self) {
        let device = run(Command::new("losetup")
            .args(["--find", "--show", "--sector-size", "4096"])
            .arg(self.file()));
        self.device = Some(device.trim().to_owned());
    }

    fn make_ext4(&self) {
        let device = self.device.as_ref().unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-b", "4096", device]));
    }

    fn mount_ext4(&mut self) {
        let device = self.device.as_ref().unwrap();
        let at = self.ext4();
        run(Command::new("mount").args(["-t", "ext4", "-o", "noatime", device]).arg(at));
        self.mounted = true;
    }

    fn unmount_ext4(&mut self) {
        run(Command::new("umount").arg(self.ext4()));
        self.mounted = false;
    }

    fn detach_loop(&mut self) {
        let device = self.device.take().unwrap();
        run(Command::new("losetup").args(["-d", &device]));
        // Detaching is lazy: the file is let go when its last user is gone.
        let backing = PathBuf::from("/sys/block").join(&device[5..]).join("loop/backing_file");
        let deadline = Instant::now() + DEADLINE;
        while backing.exists() {
            assert!(Instant::now() < deadline, "{device} is not let go");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn unmount_file(&self) {
        run(Command::new("umount").arg(self.root.join("file")));
    }

    fn stop(mut self) {
        if self.mounted {
            self.unmount_ext4();
        }
        if self.device.is_some() {
            self.detach_loop();
        }
        self.unmount_file();
        assert!(self.server.wait().unwrap().success(), "the server ends well");
    }

    fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        if self.mounted {
            let _ = Command::new("umount").arg(self.ext4()).status();
        }
        if let Some(device) = &self.device {
            let _ = Command::new("losetup").args(["-d", device]).status();
        }
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.root.join("file"))
            .stderr(Stdio::null())
            .status();
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {} {told}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn random_bytes(chance: &mut SeededEntropy, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    crypto::Entropy::fill(chance, &mut bytes);
    bytes
}

fn ext4_survives() -> Result<(), Failed> {
    let root = tempfile::tempdir()?;
    let mut chance = SeededEntropy::new(1);
    let mut files = Vec::new();
    let mut served = Served::start(root.path());
    served.attach_loop();
    served.make_ext4();
    served.mount_ext4();
    for round in 0..3 {
        for number in 0..12 {
            let name = format!("{round}-{number}");
            let len = usize::try_from(chance.below(1 << 20)).unwrap();
            let content = random_bytes(&mut chance, len);
            let mut file = File::create(served.ext4().join(&name))?;
            file.write_all(&content)?;
            file.sync_all()?;
            files.push((name, content));
        }
        served.stop();
        served = Served::start(root.path());
        served.attach_loop();
        let device = served.device.clone().unwrap();
        run(Command::new("e2fsck").args(["-f", "-n", &device]));
        served.mount_ext4();
        for (name, content) in &files {
            assert!(fs::read(served.ext4().join(name))? == *content, "{name} differs");
        }
        let (gone, _) = files.remove(usize::try_from(chance.below(files.len() as u64)).unwrap());
        fs::remove_file(served.ext4().join(gone))?;
    }
    served.stop();
    hunt(&root.path().join("volume"), &files);
    Ok(())
}

/// No sealed file holds any of the contents in the clear.
fn hunt(volume: &Path, files: &[(String, Vec<u8>)]) {
    let mut sealed = Vec::new();
    for entry in fs::read_dir(volume).unwrap() {
        File::open(entry.unwrap().path()).unwrap().read_to_end(&mut sealed).unwrap();
    }
    // Every block begins at a multiple of 16 bytes in whatever file it were found in.
    let starts: std::collections::HashSet<&[u8]> = sealed.chunks_exact(16).collect();
    for (name, content) in files.iter().filter(|(_, content)| content.len() >= 16) {
        assert!(!starts.contains(&content[..16]), "{name} lies in the clear");
    }
}

fn fsynced_survives_kills() -> Result<(), Failed> {
    let root = tempfile::tempdir()?;
    let mut chance = SeededEntropy::new(2);
    let mut acknowledged: Vec<(String, Vec<u8>)> = Vec::new();
    for kill in 0..=KILLS {
        let mut served = Served::start(root.path());
        served.attach_loop();
        if kill == 0 {
            served.make_ext4();
        }
        served.mount_ext4();
        for (name, content) in &acknowledged {
            let found = fs::read(served.ext4().join(name))?;
            assert!(found == *content, "{name}, acknowledged before kill {kill}, differs");
        }
        if kill == KILLS {
            served.stop();
            break;
        }
        let pid = served.server.id();
        let wait = Duration::from_millis(20 + chance.below(400));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(wait);
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        });
        for number in 0.. {
            let name = format!("{kill}-{number}");
            let len = usize::try_from(1 + chance.below(40_000)).unwrap();
            let content = random_bytes(&mut chance, len);
            let path = served.ext4().join(&name);
            let written = File::create(&path).and_then(|mut file| {
                file.write_all(&content)?;
                file.sync_all()
            });
            let folder = written.and_then(|()| File::open(served.ext4())?.sync_all());
            match folder {
                Ok(()) => acknowledged.push((name, content)),
                Err(_) => break,
            }
        }
        killer.join().unwrap();
        served.kill();
    }
    assert!(acknowledged.len() as u64 >= KILLS, "only {} writes ran", acknowledged.len());
    Ok(())
}

fn trim_reaches() -> Result<(), Failed> {
    let root = tempfile::tempdir()?;
    let mut served = Served::start(root.path());
    served.attach_loop();
    served.make_ext4();
    served.mount_ext4();
    let path = served.ext4().join("large");
    let mut file = File::create(&path)?;
    file.write_all(&random_bytes(&mut SeededEntropy::new(3), 40 << 20))?;
    file.sync_all()?;
    drop(file);
    let full = served.blocks_mapped();
    fs::remove_file(path)?;
    run(Command::new("sync").arg("-f").arg(served.ext4()));
    run(Command::new("fstrim").arg(served.ext4()));
    let trimmed = served.blocks_mapped();
    assert!(trimmed + 10_000 <= full, "{trimmed} of {full} blocks are still mapped");
    served.stop();
    let mut served = Served::start(root.path());
    let after = served.blocks_mapped();
    assert!(after <= trimmed + 64, "trimmed blocks came back: {after} after {trimmed}");
    served.stop();
    Ok(())
}

fn frozen_answers_errors() -> Result<(), Failed> {
    let root = tempfile::tempdir()?;
    let mut served = Served::start(root.path());
    let file = OpenOptions::new().read(true).write(true).open(served.file())?;
    file.write_all_at(&[5; 8192], 4096)?;
    file.sync_all()?;
    assert_eq!(served.ask("freeze"), "frozen");
    let eio = Some(rustix::io::Errno::IO.raw_os_error());
    assert_eq!(file.read_at(&mut [0; 4096], 4096).unwrap_err().raw_os_error(), eio);
    assert_eq!(file.write_at(&[6; 4096], 4096).unwrap_err().raw_os_error(), eio);
    assert_eq!(file.sync_all().unwrap_err().raw_os_error(), eio);
    drop(file);
    served.stop();
    let served = Served::start(root.path());
    let mut bytes = [0; 8192];
    File::open(served.file())?.read_exact_at(&mut bytes, 4096)?;
    assert_eq!(bytes, [5; 8192]);
    served.stop();
    Ok(())
}

fn any_offset() -> Result<(), Failed> {
    use rustix::fs::FallocateFlags;
    let root = tempfile::tempdir()?;
    let served = Served::start(root.path());
    let file = OpenOptions::new().read(true).write(true).open(served.file())?;
    assert_eq!(file.metadata()?.len(), SIZE.0);
    let mut model = vec![0; 1 << 20];
    let mut chance = SeededEntropy::new(4);
    for step in 0..400 {
        let at = usize::try_from(chance.below(model.len() as u64)).unwrap();
        let len = usize::try_from(1 + chance.below(30_000)).unwrap().min(model.len() - at);
        match chance.below(4) {
            0 => {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                rustix::fs::fallocate(&file, flags, at as u64, len as u64)?;
                model[at..at + len].fill(0);
            }
            1 if step % 8 == 0 => file.sync_data()?,
            1 => {
                let flags = FallocateFlags::ZERO_RANGE;
                rustix::fs::fallocate(&file, flags, at as u64, len as u64)?;
                model[at..at + len].fill(0);
            }
            _ => {
                let bytes = random_bytes(&mut chance, len);
                file.write_all_at(&bytes, at as u64)?;
                model[at..at + len].copy_from_slice(&bytes);
            }
        }
        let mut found = vec![0; len];
        file.read_exact_at(&mut found, at as u64)?;
        assert!(found == model[at..at + len], "step {step}: {len} bytes at {at} differ");
    }
    let mut found = vec![0; model.len()];
    file.read_exact_at(&mut found, 0)?;
    assert!(found == model);
    assert_eq!(file.read_at(&mut found, SIZE.0)?, 0, "nothing lies beyond the end");
    assert!(file.write_at(&[1], SIZE.0).is_err(), "nothing can be put beyond the end");
    assert!(file.set_len(1).is_err(), "the size is the volume's");
    drop(file);
    served.stop();
    Ok(())
}
