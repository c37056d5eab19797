//! Carrying bytes both ways until both sides have ended.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};

use super::stream::TunnelStream;

/// Of each direction. A whole TLS record fits, and small messages do not wait for more.
const BUFFER_BYTES: usize = 16 * 1024;

/// Carries bytes between `plain` and the tunnel. Each side's end is passed on by itself, as TCP
/// does it; an error at one cuts the other, so that a truncated stream never looks whole.
///
/// # Errors
/// What broke.
pub async fn pump(
    plain: &mut (impl AsyncRead + AsyncWrite + Unpin),
    mut tunnel: TunnelStream,
) -> io::Result<()> {
    copy_bidirectional_with_sizes(plain, &mut tunnel, BUFFER_BYTES, BUFFER_BYTES).await?;
    Ok(())
}
