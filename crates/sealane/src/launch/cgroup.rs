//! Control groups (version 2): the supervisor's own handle on all processes of a service, which
//! holds even if every launcher stage is lost.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::mountinfo;

/// Where groups can be made.
#[derive(Clone, Debug)]
pub struct Cgroups {
    parent: PathBuf,
}

/// Why there are none. Without them launching works all the same, and ends with its PID namespace;
/// limits of memory do not.
#[derive(Debug, thiserror::Error)]
pub enum CgroupsUnavailable {
    #[error("no cgroup2 file system is mounted")]
    NotMounted,
    #[error("cgroups cannot be made in {}: {error}", path.display())]
    NotAllowed { path: PathBuf, error: io::Error },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupLimits {
    pub memory_bytes_max: Option<u64>,
    pub processes_max: Option<u64>,
}

/// One group. It is not removed on drop: it must outlive a supervisor that crashed, so that the
/// next finds what is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroups {
    /// Looks for the cgroup2 mount, on hybrid systems too, and tries it.
    ///
    /// # Errors
    /// Why there are none.
    pub fn find() -> Result<Self, CgroupsUnavailable> {
        let mounts = mountinfo::mounts().map_err(|_| CgroupsUnavailable::NotMounted)?;
        let mount = mounts.into_iter().rev().find(|mount| mount.kind == "cgroup2");
        let path = mount.ok_or(CgroupsUnavailable::NotMounted)?.at;
        match rustix::fs::access(&path, rustix::fs::Access::WRITE_OK) {
            Ok(()) => Ok(Self { parent: path }),
            Err(errno) => Err(CgroupsUnavailable::NotAllowed { path, error: errno.into() }),
        }
    }

    /// Makes a group, or takes over an empty one of the same name. The strings warn of limits that
    /// this machine does not enforce.
    ///
    /// # Errors
    /// The kernel's.
    pub fn create(&self, name: &str, limits: CgroupLimits) -> io::Result<(Cgroup, Vec<String>)> {
        let path = self.parent.join(name);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let group = Cgroup { path };
        let mut warnings = Vec::new();
        let wanted = [
            ("memory", "memory.max", limits.memory_bytes_max),
            ("pids", "pids.max", limits.processes_max),
        ];
        for (controller, file, limit) in wanted {
            let Some(limit) = limit else { continue };
            // Refused where it is bound to version 1, or where a service manager owns the parent.
            let _ = fs::write(self.parent.join("cgroup.subtree_control"), format!("+{controller}"));
            if let Err(error) = fs::write(group.path.join(file), limit.to_string()) {
                warnings.push(format!(
                    "{name}: the limit {file} = {limit} is not enforced: the {controller} controller is not \
                     available to cgroup2 here ({error})"
                ));
            }
        }
        Ok((group, warnings))
    }

    /// Groups whose names begin with `prefix`: after a crash, those of the last run.
    ///
    /// # Errors
    /// The kernel's.
    pub fn leftovers(&self, prefix: &str) -> io::Result<Vec<Cgroup>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.parent)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix))
                && entry.path().is_dir()
            {
                found.push(Cgroup { path: entry.path() });
            }
        }
        Ok(found)
    }
}

impl Cgroup {
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves a process in; what it starts from now on is born there.
    ///
    /// # Errors
    /// The kernel's.
    pub fn attach(&self, pid: u32) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), pid.to_string())
    }

    /// # Errors
    /// The kernel's.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        let text = fs::read_to_string(self.path.join("cgroup.procs"))?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// SIGKILL to all of them at once (Linux 5.14): none can fork its way out.
    ///
    /// # Errors
    /// The kernel's.
    pub fn kill(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.kill"), "1")
    }

    /// Removes the group once its processes are gone.
    ///
    /// # Errors
    /// `TimedOut` if they are not within `timeout`; else the kernel's.
    pub fn remove(&self, timeout: Duration) -> io::Result<()> {
        const PAUSE: Duration = Duration::from_millis(5);
        let deadline = Instant::now() + timeout;
        loop {
            match fs::remove_dir(&self.path) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                    if Instant::now() >= deadline {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    // The kernel offers no event that a directory became removable.
                    std::thread::sleep(PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
