//! The memory of a process, as root sees it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use aho_corasick::AhoCorasick;

/// What is read at once; a needle may lie across two of them.
const STEP: usize = 1 << 20;

/// Whether `needle` is anywhere in the memory of the process. Looks at every page that may be read.
pub(crate) fn find_in_memory(pid: u32, needle: &[u8]) -> std::io::Result<bool> {
    Ok(find_each_in_memory(pid, &[needle])?[0])
}

/// As [`find_in_memory`], of several in one pass.
pub(crate) fn find_each_in_memory(pid: u32, needles: &[&[u8]]) -> std::io::Result<Vec<bool>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let searched = AhoCorasick::new(needles).expect("they are few and short");
    let mut found = vec![false; needles.len()];
    for line in maps.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(range), Some(access)) = (fields.next(), fields.next()) else { continue };
        let address = |text: &str| u64::from_str_radix(text, 16).ok();
        let Some((begin, end)) = range.split_once('-') else { continue };
        let (Some(begin), Some(end)) = (address(begin), address(end)) else { continue };
        if access.starts_with('r') {
            search_range(&memory, begin, end, &searched, &mut found);
        }
    }
    Ok(found)
}

fn search_range(memory: &File, begin: u64, end: u64, searched: &AhoCorasick, found: &mut [bool]) {
    let longest = searched.max_pattern_len();
    let mut bytes = vec![0; STEP + longest];
    let mut at = begin;
    while at < end {
        let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(bytes.len());
        // Some pages of the kernel's own cannot be read, though their map says so.
        if let Ok(read) = memory.read_at(&mut bytes[..len], at) {
            for one in searched.find_overlapping_iter(&bytes[..read]) {
                found[one.pattern()] = true;
            }
        }
        at += STEP as u64;
    }
}

/// What a process of some user is let see of another.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) memory: bool,
    pub(crate) maps: bool,
    pub(crate) environment: bool,
    pub(crate) attach: bool,
}

/// Asks Python, since what is asked must not be asked by root. Needs root, to become `user`.
pub(crate) fn what_a_user_may(user: u32, pid: u32) -> Access {
    const SCRIPT: &str = r#"
import ctypes, sys
pid = int(sys.argv[1])
def opens(name):
    try:
        return bool(open(f"/proc/{pid}/{name}", "rb").read(1)) or name == "mem"
    except PermissionError:
        return False
    except OSError:
        # The first page is mapped to nothing; what counts is that it was opened.
        return True
PTRACE_SEIZE = 0x4206
attach = ctypes.CDLL(None).ptrace(PTRACE_SEIZE, pid, 0, 0) == 0
print(*(int(x) for x in (opens("mem"), opens("maps"), opens("environ"), attach)))
"#;
    let mut command = std::process::Command::new("python3");
    std::os::unix::process::CommandExt::uid(&mut command, user);
    let output = command.args(["-c", SCRIPT, &pid.to_string()]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<_> = said.split_whitespace().map(|answer| answer == "1").collect();
    let [memory, maps, environment, attach] = answers[..] else {
        panic!("{said:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    Access { memory, maps, environment, attach }
}
