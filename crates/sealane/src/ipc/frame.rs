use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// The longest frame that is sent or accepted.
pub const FRAME_BYTES_MAX: u32 = 16 << 20;

#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("the connection to the other process broke: {0}")]
    Broken(#[from] io::Error),
    #[error("the other process closed the connection")]
    Closed,
    #[error("a message of {bytes} bytes exceeds the limit of {bytes_max}")]
    TooLong { bytes: u64, bytes_max: u32 },
    #[error("the other process speaks another version of the protocol: {0}")]
    Unknown(#[from] serde_json::Error),
}

/// Writes one message: its length as four bytes, big endian, then JSON.
///
/// # Errors
/// [`FrameError::TooLong`] before anything is written, or [`FrameError::Broken`].
pub async fn write_frame<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &T,
) -> Result<(), FrameError> {
    let mut frame = Zeroizing::new(vec![0; 4]);
    serde_json::to_writer(&mut *frame, message)?;
    let bytes = frame.len() - 4;
    let length = u32::try_from(bytes).ok().filter(|&length| length <= FRAME_BYTES_MAX);
    let too_long = FrameError::TooLong { bytes: bytes as u64, bytes_max: FRAME_BYTES_MAX };
    let length = length.ok_or(too_long)?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    stream.write_all(&frame).await?;
    stream.flush().await?;
    Ok(())
}

/// Reads one message.
///
/// # Errors
/// [`FrameError::Closed`] at a clean end between frames, else what went wrong.
pub async fn read_frame<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<T, FrameError> {
    read_frame_within(stream, FRAME_BYTES_MAX).await
}

/// Reads one message of somebody who has nothing long to say: a longer one is not even taken in.
///
/// # Errors
/// As [`read_frame`].
pub async fn read_frame_within<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    bytes_max: u32,
) -> Result<T, FrameError> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(FrameError::Closed);
        }
        Err(error) => return Err(error.into()),
    }
    let length = u32::from_be_bytes(length);
    if length > bytes_max {
        return Err(FrameError::TooLong { bytes: length.into(), bytes_max });
    }
    let mut frame = Zeroizing::new(vec![0; length as usize]);
    stream.read_exact(&mut frame).await?;
    Ok(serde_json::from_slice(&frame)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_round_trips() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &vec!["a", "b"]).await.unwrap();
        let read: Vec<String> = read_frame(&mut &bytes[..]).await.unwrap();
        assert_eq!(read, ["a", "b"]);
        assert!(matches!(read_frame::<Vec<String>>(&mut &b""[..]).await, Err(FrameError::Closed)));
    }

    #[tokio::test]
    async fn the_length_limit_holds_on_both_sides() {
        let largest = "x".repeat(FRAME_BYTES_MAX as usize - 2);
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &largest).await.unwrap();
        assert_eq!(read_frame::<String>(&mut &bytes[..]).await.unwrap(), largest);

        let mut nothing = Vec::new();
        let refused = write_frame(&mut nothing, &format!("{largest}x")).await;
        assert!(matches!(refused, Err(FrameError::TooLong { .. })) && nothing.is_empty());
        let oversized = (FRAME_BYTES_MAX + 1).to_be_bytes();
        let refused = read_frame::<String>(&mut &oversized[..]).await;
        assert!(matches!(refused, Err(FrameError::TooLong { .. })));

        let mut short = Vec::new();
        write_frame(&mut short, &"abc").await.unwrap();
        assert_eq!(read_frame_within::<String>(&mut &short[..], 5).await.unwrap(), "abc");
        let refused = read_frame_within::<String>(&mut &short[..], 4).await;
        assert!(matches!(refused, Err(FrameError::TooLong { bytes: 5, bytes_max: 4 })));
    }
}
