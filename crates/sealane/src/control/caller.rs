//! Who is calling: what the kernel says of a peer, and what the supervisor said of that process.

use std::collections::HashMap;

use tokio::net::UnixStream;

use crate::ipc::messages::Role;

/// Who the kernel says is at the other end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    pub pid: i32,
    pub uid: u32,
}

impl Peer {
    /// # Errors
    /// What the kernel says where the socket has no peer any more.
    pub fn of(stream: &UnixStream) -> std::io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let pid = credentials.pid().ok_or(std::io::ErrorKind::NotConnected)?;
        Ok(Self { pid, uid: credentials.uid() })
    }
}

/// The roles that the supervisor started, by pid. An entry is removed before its process is reaped,
/// so a pid cannot be reused while it still stands for the old role.
#[derive(Debug, Default)]
pub struct Launched(HashMap<i32, Role>);

/// As whom a peer is heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Caller {
    /// The supervisor itself.
    Supervisor,
    /// A child, in the role that it was started for.
    Child(Role),
    /// An operator: root, or the user that the cell belongs to.
    Operator,
    /// Nobody that this cell knows.
    Stranger,
}

impl Launched {
    pub fn insert(&mut self, pid: i32, role: Role) {
        self.0.insert(pid, role);
    }

    pub fn remove(&mut self, pid: i32) -> Option<Role> {
        self.0.remove(&pid)
    }

    #[must_use]
    pub fn caller(&self, peer: Peer, supervisor: i32, owner: u32) -> Caller {
        if peer.pid == supervisor {
            Caller::Supervisor
        } else if let Some(role) = self.0.get(&peer.pid) {
            Caller::Child(role.clone())
        } else if peer.uid == 0 || peer.uid == owner {
            Caller::Operator
        } else {
            Caller::Stranger
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_counts_before_a_uid() {
        let mut launched = Launched::default();
        let ingress = Role::Ingress;
        launched.insert(7, ingress.clone());
        let caller = |pid, uid| launched.caller(Peer { pid, uid }, 1, 1000);
        assert_eq!(caller(1, 0), Caller::Supervisor);
        assert_eq!(caller(7, 0), Caller::Child(ingress));
        assert_eq!(caller(8, 0), Caller::Operator);
        assert_eq!(caller(8, 1000), Caller::Operator);
        assert_eq!(caller(8, 1001), Caller::Stranger);
    }
}
