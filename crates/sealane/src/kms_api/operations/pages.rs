//! Lists that go on.

use wire::kms::{KmsFault, Marker};

use super::Fault;
use crate::store::PageStart;

/// How many to show: as many as the caller wants, within what AWS allows.
pub(super) fn limit(wanted: Option<i32>, default: usize, max: usize) -> usize {
    wanted.and_then(|wanted| usize::try_from(wanted).ok()).unwrap_or(default).clamp(1, max)
}

/// Where a list of records goes on.
pub(super) fn start(marker: Option<&str>) -> Result<Option<PageStart>, Fault> {
    let Some(marker) = marker else { return Ok(None) };
    let decoded = Marker::decode(marker).map_err(|_| invalid())?;
    let text = std::str::from_utf8(decoded.as_bytes()).map_err(|_| invalid())?;
    PageStart::from_text(text).map(Some).ok_or_else(invalid)
}

pub(super) fn marker(next: Option<&PageStart>) -> Option<String> {
    let marker = Marker::new(next?.to_text().into_bytes());
    marker.ok().map(|marker| marker.encode())
}

/// A page of what is in memory, in the order of `name`, which the marker carries.
pub(super) fn of_slice<'t, T>(
    all: &'t [T],
    name: impl Fn(&T) -> String,
    marker: Option<&str>,
    limit: usize,
) -> Result<(&'t [T], Option<String>), Fault> {
    let from = match marker {
        None => 0,
        Some(marker) => {
            let decoded = Marker::decode(marker).map_err(|_| invalid())?;
            let last = std::str::from_utf8(decoded.as_bytes()).map_err(|_| invalid())?;
            // What was listed last may be gone by now: go on after where it stood.
            all.partition_point(|item| *name(item) <= *last)
        }
    };
    let rest = all.get(from..).unwrap_or_default();
    let page = rest.get(..limit.min(rest.len())).unwrap_or_default();
    let next = match page.last() {
        Some(last) if page.len() < rest.len() => {
            Marker::new(name(last).into_bytes()).ok().map(|marker| marker.encode())
        }
        _ => None,
    };
    Ok((page, next))
}

fn invalid() -> Fault {
    Fault::new(KmsFault::InvalidMarker, "Could not deserialize marker.")
}
