//! What the kernel knows of a process: its CPU time and its memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::Error;

/// CPU time of a process so far, in user space and in the kernel.
pub(super) struct Cpu {
    /// To the nanosecond, of each thread that lives.
    threads: BTreeMap<String, u64>,
    /// In ticks, of all threads that ever lived.
    total: Duration,
}

/// `USER_HZ`, which is 100 on every architecture that Linux still has.
const TICK: Duration = Duration::from_millis(10);

impl Cpu {
    pub(super) fn of(process: u32) -> Result<Self, Error> {
        let folder = Path::new("/proc").join(process.to_string());
        let mut threads = BTreeMap::new();
        for entry in std::fs::read_dir(folder.join("task"))? {
            let entry = entry?;
            // A thread may have ended since; it is then missing from one of two readings.
            if let Ok(text) = std::fs::read_to_string(entry.path().join("schedstat")) {
                let name = entry.file_name().to_string_lossy().into_owned();
                threads.insert(name, ran(&text)?);
            }
        }
        let stat = std::fs::read_to_string(folder.join("stat"))?;
        Ok(Self { threads, total: TICK * ticks(&stat)? })
    }

    /// The exact figure, unless threads came or went: then the one in ticks, which knows of those.
    pub(super) fn since(&self, before: &Self) -> Duration {
        if !self.threads.is_empty() && self.threads.keys().eq(before.threads.keys()) {
            let sum = |cpu: &Self| cpu.threads.values().sum::<u64>();
            return Duration::from_nanos(sum(self).saturating_sub(sum(before)));
        }
        self.total.saturating_sub(before.total)
    }
}

/// CPU time of the calling thread.
pub(super) struct ThreadCpu(u64);

impl ThreadCpu {
    pub(super) fn now() -> Result<Self, Error> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        Ok(Self(if text.is_empty() { 0 } else { ran(&text)? }))
    }

    pub(super) fn since(&self, before: &Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(before.0))
    }
}

/// CPU time that anybody spent on this machine.
pub(super) struct MachineCpu {
    busy: Duration,
    all: Duration,
}

impl MachineCpu {
    pub(super) fn now() -> Result<Self, Error> {
        Self::parse(&std::fs::read_to_string("/proc/stat")?)
    }

    fn parse(stat: &str) -> Result<Self, Error> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "));
        let fields = line.ok_or("a stat without its sum")?.split_whitespace().take(8);
        let ticks: Vec<u32> = fields.map(str::parse).collect::<Result<_, _>>()?;
        // Fourth and fifth: idle, and idle while a disk works.
        let idle: u32 = ticks.iter().skip(3).take(2).sum();
        let all: u32 = ticks.iter().sum();
        Ok(Self { busy: TICK * (all - idle), all: TICK * all })
    }

    /// The part of all CPU time that went to others than those who spent `ours`.
    pub(super) fn others_since(&self, before: &Self, ours: Duration) -> f64 {
        let busy = self.busy.saturating_sub(before.busy).saturating_sub(ours);
        let all = self.all.saturating_sub(before.all).max(TICK);
        busy.as_secs_f64() / all.as_secs_f64()
    }
}

/// The first number of `schedstat`: nanoseconds on a CPU.
fn ran(schedstat: &str) -> Result<u64, Error> {
    let first = schedstat.split_whitespace().next().ok_or("an empty schedstat")?;
    Ok(first.parse()?)
}

/// `utime` and `stime` of `stat`. The name, which may hold anything, ends at the last `)`.
fn ticks(stat: &str) -> Result<u32, Error> {
    let (_, fields) = stat.rsplit_once(')').ok_or("a stat without a name")?;
    let mut times = fields.split_whitespace().skip(11);
    let mut next = || -> Result<u32, Error> { Ok(times.next().ok_or("a short stat")?.parse()?) };
    Ok(next()? + next()?)
}

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    pub(super) now: u64,
    /// The most it ever was.
    pub(super) most: u64,
}

impl Memory {
    pub(super) fn of(process: u32) -> Result<Self, Error> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        Ok(Self { now: kib(&status, "VmRSS:")? * 1024, most: kib(&status, "VmHWM:")? * 1024 })
    }
}

fn kib(status: &str, name: &str) -> Result<u64, Error> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().strip_suffix("kB"));
    Ok(number.ok_or_else(|| format!("no {name} in the status of a process"))?.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "7 (a) S 1 (b) c) S 1 7 7 0 -1 4194560 216 0 0 0 12 34 5 6 20 0 3 0 100 0 0";
        assert_eq!(ticks(stat).unwrap(), 46);
        assert!(ticks("7 (a) S 1 2").is_err());
    }

    #[test]
    fn this_process_has_computed_and_lies_in_memory() {
        let process = std::process::id();
        let memory = Memory::of(process).unwrap();
        assert!(memory.now > 100_000 && memory.most >= memory.now);
        assert!(Cpu::of(process).is_ok());
    }

    #[test]
    fn a_thread_that_ended_is_not_forgotten() {
        let cpu = |threads: &[(&str, u64)], total| Cpu {
            threads: threads.iter().map(|(name, ran)| ((*name).to_owned(), *ran)).collect(),
            total: TICK * total,
        };
        let before = cpu(&[("1", 1000), ("2", 500)], 1);
        let all = cpu(&[("1", 1500), ("2", 600)], 2);
        assert_eq!(all.since(&before), Duration::from_nanos(600));
        let fewer = cpu(&[("1", 1500)], 3);
        assert_eq!(fewer.since(&before), TICK * 2);
    }

    #[test]
    fn what_others_spend_is_what_we_do_not() {
        let stat = |user: u32| format!("cpu  {user} 0 50 800 50 0 0 0 9 9\ncpu0 1 2 3\n");
        let before = MachineCpu::parse(&stat(100)).unwrap();
        let after = MachineCpu::parse(&stat(300)).unwrap();
        assert!((after.others_since(&before, TICK * 150) - 0.25).abs() < 1e-9);
        assert!(after.others_since(&before, TICK * 500).abs() < 1e-9);
        assert!(MachineCpu::parse("cpu0 1 2 3\n").is_err());
    }

    #[test]
    fn memory_is_read_in_kib() {
        assert_eq!(kib("Name:\tx\nVmRSS:\t    2048 kB\n", "VmRSS:").unwrap(), 2048);
        assert!(kib("Name:\tx\n", "VmRSS:").is_err());
    }
}
