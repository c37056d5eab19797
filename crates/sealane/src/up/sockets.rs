//! The listening sockets that the supervisor holds, so that they outlive whoever serves them.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource};

use super::refused::Place;
use crate::config;
use crate::ipc::{CONTROL_SOCKET, ShortAddress};
use crate::plan::{CELL_NAMESPACE, EGRESS};

/// All of them.
pub(super) struct Sockets {
    /// Where each proxy listens for tunnels, by `namespace/name`.
    pub tunnels: BTreeMap<String, TcpListener>,
    pub ingress: Option<TcpListener>,
    pub kms: Option<TcpListener>,
    pub control: OwnedFd,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
pub(super) enum ListenError {
    #[error("cannot listen on {address}: {source}")]
    Ingress {
        address: SocketAddr,
        source: io::Error,
        #[help]
        help: String,
        #[source_code]
        file: Arc<NamedSource<String>>,
        #[label(collection)]
        at: Vec<LabeledSpan>,
    },
    #[error("cannot listen on {what}: {source}")]
    Inner { what: String, source: io::Error },
}

impl Sockets {
    /// # Errors
    /// [`ListenError`], for the ingress with the line of the cell file that names the address.
    pub(super) fn bind(cell: &config::Cell, dir: &Path) -> Result<Self, ListenError> {
        let ingress = match &cell.ingress {
            Some(ingress) => Some(
                TcpListener::bind(ingress.listen)
                    .map_err(|source| ingress_refused(cell, ingress.listen, source))?,
            ),
            None => None,
        };
        let kms = match &cell.kms {
            Some(kms) => Some(TcpListener::bind(kms.listen).map_err(|source| {
                ListenError::Inner { what: format!("{}, where [kms] listens", kms.listen), source }
            })?),
            None => None,
        };
        let mut tunnels = BTreeMap::new();
        let mut names: Vec<_> = cell.instances().iter().map(|i| i.id.to_string()).collect();
        names.push(format!("{CELL_NAMESPACE}/{EGRESS}"));
        for name in names {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|source| {
                ListenError::Inner { what: format!("the port of {name}"), source }
            })?;
            tunnels.insert(name, listener);
        }
        let path = dir.join(CONTROL_SOCKET);
        let control = bind_control(&path)
            .map_err(|source| ListenError::Inner { what: path.display().to_string(), source })?;
        Ok(Self { tunnels, ingress, kms, control })
    }

    /// # Errors
    /// If a socket does not know its own address.
    pub(super) fn addresses(&self) -> io::Result<BTreeMap<String, SocketAddr>> {
        self.tunnels
            .iter()
            .map(|(name, listener)| Ok((name.clone(), listener.local_addr()?)))
            .collect()
    }
}

/// Everybody on the machine may knock: who may ask what is decided by the peer's credentials.
fn bind_control(path: &Path) -> io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&ShortAddress::of(path)?.path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    Ok(listener.into())
}

fn ingress_refused(cell: &config::Cell, address: SocketAddr, source: io::Error) -> ListenError {
    let place = Place::of_value(cell, "listen", &address.to_string(), "asked for here");
    let port = address.port();
    let help = match source.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another program listens on port {port} (`ss -ltnp 'sport = :{port}'` names it): \
             stop it, or change `listen` in [ingress]"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("port {port} needs root: choose one above 1023 for `listen` in [ingress]")
        }
        _ => "change `listen` in [ingress] to an address of this machine".to_owned(),
    };
    let Place { file, at } = place;
    ListenError::Ingress { address, source, help, file, at }
}
