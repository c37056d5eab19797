//! AWS KMS's own API over the cell's KMS: HTTP, signatures, JSON, and AWS's errors.
//!
//! A request comes in by [`server`], is authenticated by [`authenticate`], read and carried out in
//! [`operations`], and leaves an event in the audit trail and a count in [`metrics`]. What may be
//! done with a key is decided in the core `keys`; here it is only asked. **Start reading** in
//! [`request`].

mod answer;
pub mod authenticate;
mod call;
mod facts;
mod fault;
mod key_names;
pub mod metrics;
mod metrics_server;
mod operations;
pub mod request;
pub mod server;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::Semaphore;

use crate::kms::Kms;

pub use call::Audit;
pub use fault::Fault;
pub use metrics_server::serve_metrics;

/// The KMS as its socket sees it: open, or locked.
pub struct Api {
    kms: ArcSwapOption<Kms>,
    metrics: metrics::Metrics,
    audit: Audit,
    /// One permit for each longer body that may be read now.
    long_bodies: Semaphore,
}

impl Api {
    /// Locked at first.
    #[must_use]
    pub fn new(audit: Audit) -> Arc<Self> {
        let metrics = metrics::Metrics::default();
        let long_bodies = Semaphore::new(server::LONG_BODIES_MAX);
        Arc::new(Self { kms: ArcSwapOption::empty(), metrics, audit, long_bodies })
    }

    pub fn unlock(&self, kms: Kms) {
        self.kms.store(Some(Arc::new(kms)));
    }

    /// From now on every call is refused. What was under way still ends.
    pub fn lock(&self) {
        self.kms.store(None);
    }

    #[must_use]
    pub fn metrics(&self) -> &metrics::Metrics {
        &self.metrics
    }
}
