//! The KMS's socket in a cell that runs services: the control process serves it, since it holds the
//! keys, on threads of its own.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crypto::{Signer as _, SigningKey};
use mesh::policy::Target;
use tokio::sync::watch;

use super::control::KmsFace;
use crate::config::KmsAudit;
use crate::control::{Control, OnceConfigured};
use crate::ipc::messages::Refusal;
use crate::kms_api::server::{Callers, Transport, serve};
use crate::kms_api::{Api, Audit};
use crate::plan::KMS;
use crate::tls::kms::KmsAcceptor;

/// Begins to serve once the cell knows its names. The certificate is of the cell's own authority.
pub(super) fn begin(listener: TcpListener, face: KmsFace, shown: Shown) -> OnceConfigured {
    Box::new(move |control| start(control, listener, &face, &shown))
}

/// The acceptor, once there is one, so that its certificate can be renewed.
pub(super) type Shown = Arc<OnceLock<KmsAcceptor>>;

/// Shows a new certificate long before the old one ends.
pub(super) async fn renew(control: Arc<Mutex<Control>>, face: KmsFace, shown: Shown) {
    loop {
        tokio::time::sleep(CERTIFICATE_EVERY).await;
        let Some(acceptor) = shown.get() else { continue };
        let key = Arc::new(SigningKey::generate());
        let issued = control
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .issue_for_kms(&face.hosts, key.public_key());
        let renewed = issued.and_then(|(chain, _)| acceptor.replace(&chain, key).map_err(failed));
        if let Err(refusal) = renewed {
            tracing::error!(%refusal, "the certificate of the KMS could not be renewed");
        }
    }
}

fn start(
    control: &mut Control,
    listener: TcpListener,
    face: &KmsFace,
    shown: &Shown,
) -> Result<(), Refusal> {
    let key = Arc::new(SigningKey::generate());
    let (chain, _) = control.issue_for_kms(&face.hosts, key.public_key())?;
    let acceptor =
        KmsAcceptor::from_signer(&chain, key, control.trust_bundle()?).map_err(failed)?;
    let _ = shown.set(acceptor.clone());
    let plan = control.plan()?;
    let port = listener.local_addr().map_err(failed)?.port();
    let here = Target::Cell { name: KMS.to_owned(), port };
    let callers = Arc::new(Callers { policy: plan.policy().map_err(failed)?, here });
    let audit = match face.audit {
        KmsAudit::Batched => Audit::Batched,
        KmsAudit::Strict => Audit::Strict,
    };
    let api = Api::new(audit);
    let kms = control.kms().clone();
    listener.set_nonblocking(true).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("kms")
        .build()
        .map_err(failed)?;
    let serving = move || {
        runtime.block_on(async move {
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => {
                    tracing::error!(%error, "the KMS is not served");
                    return;
                }
            };
            let (_end, ended) = watch::channel(false);
            api.unlock(kms);
            serve(api, listener, Transport::Tls(acceptor, Some(callers)), ended).await;
        });
    };
    std::thread::Builder::new().name("kms".to_owned()).spawn(serving).map_err(failed)?;
    Ok(())
}

/// How long a certificate of the KMS may be shown.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(8 * 60 * 60);

fn failed(error: impl std::fmt::Display) -> Refusal {
    Refusal::Failed { message: error.to_string(), help: None }
}
