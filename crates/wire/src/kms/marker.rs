//! Where a list goes on.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What a marker may carry: AWS takes 1024 characters back.
pub const MARKER_BYTES_MAX: usize = 768;

/// Opaque to the caller, who sends back what it was given. Not secret and not authenticated: what
/// it carries is checked like any other input.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Marker(Vec<u8>);

/// Not a marker of ours. `InvalidMarkerException`.
#[derive(Debug, PartialEq, Eq, Clone, Copy, thiserror::Error)]
#[error("the marker is not one that was given out")]
pub struct MarkerFault;

impl Marker {
    /// # Errors
    /// [`MarkerFault`] if `bytes` are none, or more than [`MARKER_BYTES_MAX`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, MarkerFault> {
        let bytes = bytes.into();
        if bytes.is_empty() || bytes.len() > MARKER_BYTES_MAX {
            return Err(MarkerFault);
        }
        Ok(Self(bytes))
    }

    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.0)
    }

    /// # Errors
    /// [`MarkerFault`] if [`encode`](Self::encode) never gave this.
    pub fn decode(text: &str) -> Result<Self, MarkerFault> {
        Self::new(URL_SAFE_NO_PAD.decode(text).map_err(|_| MarkerFault)?)
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
