//! Counts and times of the KMS API, in Prometheus's text format.
//!
//! Written by hand, since the libraries for it keep each histogram behind a lock that all requests
//! would share. Labels are operations and outcomes, both from fixed lists: never a tenant, a key or
//! anything that a caller chose.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wire::kms::Operation;

/// Upper bounds of the latency buckets, in microseconds.
const BOUNDS_MICROS: [u64; 13] =
    [25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 100_000, 500_000, 2_000_000];

/// How a call ended, as far as it is counted apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Ok,
    /// The caller's signature or token was not accepted.
    Unauthenticated,
    Denied,
    /// The request was wrong, or the key could not be used so.
    Invalid,
    /// Our own fault.
    Failed,
}

impl Outcome {
    const ALL: [Self; 5] =
        [Self::Ok, Self::Unauthenticated, Self::Denied, Self::Invalid, Self::Failed];

    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unauthenticated => "unauthenticated",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
        }
    }
}

/// Of one operation, by outcome.
type Counts = [Histogram; Outcome::ALL.len()];

#[derive(Default)]
struct Histogram {
    /// One more than bounds: the last takes what is slower than all of them.
    buckets: [AtomicU64; BOUNDS_MICROS.len() + 1],
    micros: AtomicU64,
}

/// All counters of one server.
pub struct Metrics {
    /// The last is of requests that name no operation.
    operations: Vec<Counts>,
    pub refused_connections: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        let operations = (0..=Operation::ALL.len()).map(|_| Counts::default()).collect();
        Self { operations, refused_connections: AtomicU64::new(0) }
    }
}

impl Metrics {
    pub fn count(&self, operation: Option<Operation>, outcome: Outcome, took: Duration) {
        let at = operation.map_or(Operation::ALL.len(), |operation| operation as usize);
        let Some(counts) = self.operations.get(at) else { return };
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS.iter().position(|bound| micros <= *bound);
        let histogram = &counts[outcome as usize];
        histogram.buckets[bucket.unwrap_or(BOUNDS_MICROS.len())].fetch_add(1, Ordering::Relaxed);
        histogram.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Operations that were never called so are left out.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# HELP sealane_kms_requests_total Requests by operation and outcome.\n\
             # TYPE sealane_kms_requests_total counter\n",
        );
        for (labels, histogram) in self.called() {
            let count = histogram.count();
            let _ = writeln!(text, "sealane_kms_requests_total{{{labels}}} {count}");
        }
        text.push_str(
            "# HELP sealane_kms_request_duration_seconds From the whole request to its answer.\n\
             # TYPE sealane_kms_request_duration_seconds histogram\n",
        );
        for (labels, histogram) in self.called() {
            write_histogram(&mut text, &labels, histogram);
        }
        let refused = self.refused_connections.load(Ordering::Relaxed);
        let _ = write!(
            text,
            "# HELP sealane_kms_connections_refused_total Connections above the limit.\n\
             # TYPE sealane_kms_connections_refused_total counter\n\
             sealane_kms_connections_refused_total {refused}\n"
        );
        text
    }

    /// With the labels that tell them apart.
    fn called(&self) -> impl Iterator<Item = (String, &Histogram)> {
        let names = Operation::ALL.iter().map(|entry| entry.name).chain(["unknown"]);
        let of_operation = |(name, counts): (&'static str, _)| {
            let by_outcome = Outcome::ALL.into_iter().zip(counts);
            by_outcome.map(move |(outcome, histogram): (Outcome, &Histogram)| {
                let outcome = outcome.name();
                (format!("operation=\"{name}\",outcome=\"{outcome}\""), histogram)
            })
        };
        let all = names.zip(&self.operations).flat_map(of_operation);
        all.filter(|(_, histogram)| histogram.count() > 0)
    }
}

impl Histogram {
    fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown, not counted with")]
fn write_histogram(text: &mut String, labels: &str, histogram: &Histogram) {
    let mut sum = 0;
    let seconds = |micros: u64| micros as f64 / 1e6;
    for (at, bucket) in histogram.buckets.iter().enumerate() {
        sum += bucket.load(Ordering::Relaxed);
        let bound =
            BOUNDS_MICROS.get(at).map_or_else(|| "+Inf".to_owned(), |b| seconds(*b).to_string());
        let _ = writeln!(
            text,
            "sealane_kms_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {sum}"
        );
    }
    let total = seconds(histogram.micros.load(Ordering::Relaxed));
    let _ = writeln!(
        text,
        "sealane_kms_request_duration_seconds_sum{{{labels}}} {total}\n\
         sealane_kms_request_duration_seconds_count{{{labels}}} {sum}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_shown_and_nothing_else() {
        let metrics = Metrics::default();
        metrics.count(Some(Operation::Encrypt), Outcome::Ok, Duration::from_micros(30));
        metrics.count(Some(Operation::Encrypt), Outcome::Denied, Duration::from_secs(9));
        metrics.count(None, Outcome::Invalid, Duration::ZERO);
        let text = metrics.text();
        for line in [
            "sealane_kms_requests_total{operation=\"Encrypt\",outcome=\"ok\"} 1",
            "sealane_kms_requests_total{operation=\"Encrypt\",outcome=\"denied\"} 1",
            "sealane_kms_requests_total{operation=\"unknown\",outcome=\"invalid\"} 1",
            "sealane_kms_request_duration_seconds_bucket{operation=\"Encrypt\",outcome=\"ok\",le=\"0.000025\"} 0",
            "sealane_kms_request_duration_seconds_bucket{operation=\"Encrypt\",outcome=\"ok\",le=\"0.00005\"} 1",
            "sealane_kms_request_duration_seconds_bucket{operation=\"Encrypt\",outcome=\"denied\",le=\"2\"} 0",
            "sealane_kms_request_duration_seconds_bucket{operation=\"Encrypt\",outcome=\"denied\",le=\"+Inf\"} 1",
            "sealane_kms_request_duration_seconds_count{operation=\"Encrypt\",outcome=\"ok\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("Decrypt"));
    }
}
