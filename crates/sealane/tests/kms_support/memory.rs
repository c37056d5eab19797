//! The memory of a process, as root sees it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// What is read at once; a needle may lie across two of them.
const STEP: usize = 1 << 20;

/// Whether `needle` is anywhere in the memory of the process. Looks at every page that may be read.
pub(crate) fn find_in_memory(pid: u32, needle: &[u8]) -> std::io::Result<bool> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    for line in maps.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(range), Some(access)) = (fields.next(), fields.next()) else { continue };
        let address = |text: &str| u64::from_str_radix(text, 16).ok();
        let Some((begin, end)) = range.split_once('-') else { continue };
        let (Some(begin), Some(end)) = (address(begin), address(end)) else { continue };
        if access.starts_with('r') && range_holds(&memory, begin, end, needle) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn range_holds(memory: &File, begin: u64, end: u64, needle: &[u8]) -> bool {
    let mut bytes = vec![0; STEP + needle.len()];
    let mut at = begin;
    while at < end {
        let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(bytes.len());
        // Some pages of the kernel's own cannot be read, though their map says so.
        if let Ok(read) = memory.read_at(&mut bytes[..len], at) {
            if bytes[..read].windows(needle.len()).any(|window| window == needle) {
                return true;
            }
        }
        at += STEP as u64;
    }
    false
}
