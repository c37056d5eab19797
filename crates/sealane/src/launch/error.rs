use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What the launcher was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Starting the launcher itself, or talking to it.
    StartLauncher,
    /// Reading what to launch: the specification contradicts itself.
    ReadSpec,
    CreateUserNamespace,
    CreateNamespaces,
    ConfigureNetwork,
    ConfigureFirewall,
    OpenSockets,
    MountRoot,
    MountProc,
    MountVolume,
    HideDirectory,
    ReplaceFile,
    LimitResources,
    DropPrivileges,
    FilterSystemCalls,
    EnterWorkingDirectory,
    StartProgram,
}

/// Why a service was not launched. It crosses from the launcher to the supervisor as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchError {
    pub step: Step,
    /// The file, directory or program concerned.
    pub path: Option<PathBuf>,
    pub errno: Option<i32>,
    /// What else is known, such as what `nft` said.
    pub detail: Option<String>,
}

impl LaunchError {
    pub(crate) fn new(step: Step, error: &io::Error) -> Self {
        let errno = error.raw_os_error();
        let detail = errno.is_none().then(|| error.to_string());
        Self { step, path: None, errno, detail }
    }

    pub(crate) fn said(step: Step, detail: impl Into<String>) -> Self {
        Self { step, path: None, errno: None, detail: Some(detail.into()) }
    }

    pub(crate) fn at(mut self, path: impl AsRef<Path>) -> Self {
        self.path = Some(path.as_ref().to_path_buf());
        self
    }

    /// What the operator can do about it, where we know.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        let missing = self.errno == Some(libc::ENOENT);
        let forbidden = matches!(self.errno, Some(libc::EPERM | libc::EACCES));
        match self.step {
            Step::ConfigureNetwork if missing => Some("install iproute2: apt-get install iproute2"),
            Step::ConfigureFirewall if missing => {
                Some("install nftables: apt-get install nftables")
            }
            Step::CreateUserNamespace if self.errno == Some(libc::ENOSPC) => Some(
                "allow more user namespaces (sysctl user.max_user_namespaces), run as root, or set isolation = \"none\"",
            ),
            Step::CreateUserNamespace => Some(
                "this kernel forbids user namespaces to users: allow them (Debian: sysctl kernel.unprivileged_userns_clone=1; Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0), run as root, or set isolation = \"none\"",
            ),
            Step::CreateNamespaces if forbidden => Some(
                "the caller may not create namespaces, as in most containers: give the container CAP_SYS_ADMIN, or set isolation = \"none\"",
            ),
            Step::MountProc if forbidden => Some(
                "part of /proc is covered, as in most containers, so no new one may be mounted: run the container with an uncovered /proc, or set isolation = \"none\"",
            ),
            Step::MountRoot if self.errno == Some(libc::ENOSYS) => {
                Some("Linux 5.12 or newer is needed")
            }
            Step::ReplaceFile if matches!(self.errno, Some(libc::EROFS | libc::ENOENT)) => Some(
                "create the file on the host, empty, so that the service's own can be put over it",
            ),
            Step::MountVolume if self.errno == Some(libc::EROFS) => Some(
                "this path lies in a directory that the service may only read: create the directory on the host, or mount the volume elsewhere",
            ),
            Step::StartProgram if missing => Some(
                "the program is looked for inside the service's own root, in PATH: give its full path, or put it below /usr, /opt or the service's cwd",
            ),
            Step::StartProgram if forbidden => {
                Some("the program must be executable by the user that the service runs as")
            }
            Step::EnterWorkingDirectory if forbidden => Some(
                "the directory must be readable by the user that the service runs as: chmod o+rx, or set run_as",
            ),
            _ => None,
        }
    }
}

impl Step {
    const fn words(self) -> &'static str {
        match self {
            Self::StartLauncher => "starting the launcher",
            Self::ReadSpec => "reading what to launch",
            Self::CreateUserNamespace => "creating a user namespace",
            Self::CreateNamespaces => "creating namespaces",
            Self::ConfigureNetwork => "configuring the service's network (ip)",
            Self::ConfigureFirewall => "configuring the service's firewall (nft)",
            Self::OpenSockets => "opening the proxy's sockets inside",
            Self::MountRoot => "building the service's root directory",
            Self::MountProc => "mounting /proc",
            Self::MountVolume => "mounting the volume",
            Self::HideDirectory => "hiding a directory",
            Self::ReplaceFile => "putting the service's own file in place",
            Self::LimitResources => "limiting resources",
            Self::DropPrivileges => "dropping privileges",
            Self::FilterSystemCalls => "filtering system calls",
            Self::EnterWorkingDirectory => "entering the working directory",
            Self::StartProgram => "starting the program",
        }
    }
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.step.words())?;
        if let Some(path) = &self.path {
            write!(f, " ({})", path.display())?;
        }
        if let Some(errno) = self.errno {
            write!(f, ": {}", io::Error::from_raw_os_error(errno))?;
        }
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(advice) = self.advice() {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

impl std::error::Error for LaunchError {}

/// Says what was being done when a call failed.
pub(crate) trait During<T> {
    fn during(self, step: Step) -> Result<T, LaunchError>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, step: Step) -> Result<T, LaunchError> {
        self.map_err(|error| LaunchError::new(step, &error))
    }
}

impl<T> During<T> for rustix::io::Result<T> {
    fn during(self, step: Step) -> Result<T, LaunchError> {
        self.map_err(|errno| LaunchError::new(step, &errno.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_step_file_cause_and_remedy() {
        let error =
            LaunchError::new(Step::ConfigureFirewall, &io::Error::from_raw_os_error(2)).at("nft");
        let text = error.to_string();
        for part in ["firewall", "(nft)", "No such file", "apt-get install nftables"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
