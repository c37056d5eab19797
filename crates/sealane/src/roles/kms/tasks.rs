//! What an unlocked KMS does by itself.

use std::time::Duration;

use keys::authorize::Principal;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cell_dir::CellDir;
use crate::kms::{DOMAIN_LIFETIME, Kms, KmsError, now};
use crate::service_logs;

/// How often it is looked whether a key is to rotate or to end, at the latest.
const DUE_EVERY: Duration = Duration::from_secs(30);
/// How often it is looked whether the domain key is too old.
const DOMAIN_CHECK_EVERY: Duration = Duration::from_secs(60 * 60);
/// How often last uses are written.
const LAST_USES_EVERY: Duration = Duration::from_secs(60);

/// Starts all of it, until `ended` says so.
pub(in crate::roles) fn start(
    runtime: &Handle,
    dir: &CellDir,
    kms: &Kms,
    ended: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    vec![
        runtime.spawn(run_due(kms.clone(), ended.clone())),
        runtime.spawn(keep_domain_young(kms.clone(), dir.clone(), ended.clone())),
        runtime.spawn(write_last_uses(kms.clone(), ended.clone())),
    ]
}

/// Keys rotate, end and lose their material when their time comes.
async fn run_due(kms: Kms, mut stopped: watch::Receiver<bool>) {
    let mut changed = kms.watch();
    loop {
        let of_task = kms.clone();
        let ran = tokio::task::spawn_blocking(move || of_task.run_due(now())).await;
        let wait = match ran {
            Ok(Ok((done, next))) => {
                for (key, what) in done {
                    tracing::info!(%key, ?what, "what was due to a key was done");
                }
                next.map_or(DUE_EVERY, |at| {
                    Duration::from_secs(at.0.saturating_sub(now().0)).min(DUE_EVERY)
                })
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "what is due to keys could not be done");
                DUE_EVERY
            }
            Err(_) => DUE_EVERY,
        };
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(wait) => {}
            // Something may be due sooner now.
            _ = changed.changed() => {}
        }
        // Changes come together.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The domain key is replaced every day, and what lies under older ones moved.
async fn keep_domain_young(kms: Kms, dir: CellDir, mut stopped: watch::Receiver<bool>) {
    loop {
        let (of_task, dir, stop) = (kms.clone(), dir.clone(), stopped.clone());
        let renewed = tokio::task::spawn_blocking(move || renew_domain(&of_task, &dir, &stop));
        match renewed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the domain key could not be replaced"),
            Err(error) => tracing::error!(%error, "the domain key could not be replaced"),
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(DOMAIN_CHECK_EVERY) => {}
        }
    }
}

fn renew_domain(kms: &Kms, dir: &CellDir, stopped: &watch::Receiver<bool>) -> Result<(), KmsError> {
    if now().0.saturating_sub(kms.domain_since()?.0) >= DOMAIN_LIFETIME.as_secs() {
        kms.rotate_domain(&Principal::Cell)?;
        tracing::info!("the domain key was replaced");
    }
    let moved = kms.move_under_domain(&|| service_logs::domains(dir), || *stopped.borrow())?;
    if moved.retired > 0 {
        tracing::info!(retired = moved.retired, "older domain keys were forgotten");
    }
    Ok(())
}

async fn write_last_uses(kms: Kms, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(LAST_USES_EVERY) => {}
        }
        let of_task = kms.clone();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || of_task.write_last_uses()).await
        {
            tracing::error!(%error, "when keys were last used could not be written");
        }
    }
}
