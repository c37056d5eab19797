//! A process's own certificate: its key never leaves the process, and it is renewed at half life.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crypto::{Signer as _, SigningKey};
use mesh::Certificate;
use mesh::tunnel::Svid;

use super::{Mesh, ask, now};
use crate::ipc::messages::{Reply, Request};

/// An SVID, and when to ask for the next.
pub struct Fresh {
    pub svid: Svid,
    pub renew_after: Duration,
}

/// Between two attempts while control is down. Short against the shortest life of an SVID.
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// Makes a key and has control certify it.
///
/// # Errors
/// If control does not answer, or answers what does not fit the key.
pub async fn obtain() -> anyhow::Result<Fresh> {
    let key = SigningKey::generate();
    let reply = ask(&Request::IssueSvid { public_key: key.public_key().0 }).await?;
    let Reply::Certificate(issued) = reply else { anyhow::bail!("control answered {reply:?}") };
    let chain: Result<Vec<_>, _> = issued.chain.into_iter().map(Certificate::from_der).collect();
    let svid = Svid::new(&chain?, Arc::new(key))?;
    let life = issued.not_after.saturating_sub(now().0);
    Ok(Fresh { svid, renew_after: Duration::from_secs(life) / 2 })
}

/// Renews at half life, for ever. While control is down the old SVID serves until it expires.
pub async fn keep_fresh(mesh: Rc<Mesh>, mut renew_after: Duration) {
    loop {
        tokio::time::sleep(renew_after).await;
        renew_after = match obtain().await {
            Ok(fresh) => {
                mesh.tunnels.replace_svid(fresh.svid);
                // Tunnels that wait for use began with the old certificate.
                mesh.pool.clear();
                fresh.renew_after
            }
            Err(error) => {
                let expires = mesh.tunnels.svid().not_after();
                tracing::warn!("cannot renew the SVID, which expires at {expires}: {error:#}");
                RETRY_EVERY
            }
        };
    }
}
