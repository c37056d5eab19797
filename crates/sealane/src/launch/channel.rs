use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A SOCK_SEQPACKET Unix socket that carries JSON values and descriptors. It keeps the bounds of
/// messages, and an end that is gone reads as end of file: that is the lifeline.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// The largest message; a [`super::LaunchSpec`] with its environment must fit. The kernel's
/// default send buffer (208 KiB) must hold one whole.
pub const MESSAGE_BYTES_MAX: usize = 128 << 10;
/// The most descriptors that travel beside one message.
pub const DESCRIPTORS_MAX: usize = 8;

#[derive(Debug)]
pub struct Received<T> {
    pub message: T,
    pub descriptors: Vec<OwnedFd>,
    /// The sender's process id, in the receiver's PID namespace. Only on a channel that
    /// [asks for it](Channel::ask_for_senders).
    pub sender: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until there is a message.
    Forever,
    /// Fails with `WouldBlock` where there is none.
    Never,
}

impl Channel {
    /// Two ends.
    ///
    /// # Errors
    /// The kernel's.
    pub fn pair() -> io::Result<(Self, Self)> {
        let flags = SocketFlags::CLOEXEC;
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Self(one), Self(other)))
    }

    pub(crate) fn ask_for_senders(&self) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_socket_passcred(&self.0, true)?)
    }

    /// Another handle of the same end.
    ///
    /// # Errors
    /// The kernel's.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Sends one value.
    ///
    /// # Errors
    /// The kernel's; `InvalidInput` for a message above [`MESSAGE_BYTES_MAX`]; with
    /// [`Wait::Never`], `WouldBlock` if the other end does not keep up.
    pub fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
        wait: Wait,
    ) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > MESSAGE_BYTES_MAX || descriptors.len() > DESCRIPTORS_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a message of {} bytes; at most {MESSAGE_BYTES_MAX} are sent", bytes.len()),
            ));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            let fits = ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
            assert!(fits, "the space is for DESCRIPTORS_MAX");
        }
        let mut flags = SendFlags::NOSIGNAL;
        if wait == Wait::Never {
            flags |= SendFlags::DONTWAIT;
        }
        let sent = rustix::io::retry_on_intr(|| {
            sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut ancillary, flags)
        })?;
        assert_eq!(sent, bytes.len(), "a SEQPACKET message is sent whole or not at all");
        Ok(())
    }

    /// Receives one value; `None` when the other end is gone.
    ///
    /// # Errors
    /// The kernel's; `InvalidData` for what is no value of this type, or was cut.
    pub fn receive<T: DeserializeOwned>(&self, wait: Wait) -> io::Result<Option<Received<T>>> {
        let mut bytes = vec![0; MESSAGE_BYTES_MAX];
        let mut space = [MaybeUninit::uninit();
            rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX), ScmCredentials(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut flags = RecvFlags::CMSG_CLOEXEC;
        if wait == Wait::Never {
            flags |= RecvFlags::DONTWAIT;
        }
        let received = loop {
            match recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags) {
                Ok(received) => break received,
                Err(rustix::io::Errno::INTR) => {}
                // The other end died with something of ours unread: gone all the same.
                Err(rustix::io::Errno::CONNRESET) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
        };
        let (mut descriptors, mut sender) = (Vec::new(), None);
        for message in ancillary.drain() {
            match message {
                RecvAncillaryMessage::ScmRights(rights) => descriptors.extend(rights),
                RecvAncillaryMessage::ScmCredentials(of) => {
                    sender = Some(of.pid.as_raw_nonzero().get())
                }
                _ => {}
            }
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message was cut short"));
        }
        let message = serde_json::from_slice(&bytes[..received.bytes])?;
        Ok(Some(Received { message, descriptors, sender }))
    }

    /// Waits until [`Self::receive`] has something to say; `false` once `timeout` has passed.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait_readable(&self, timeout: std::time::Duration) -> io::Result<bool> {
        let deadline = std::time::Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&left)) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl From<OwnedFd> for Channel {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_descriptors_arrive_whole() {
        let (one, other) = Channel::pair().unwrap();
        other.ask_for_senders().unwrap();
        let (pipe, _end) = rustix::pipe::pipe().unwrap();
        one.send(&"hello", &[pipe.as_fd(); DESCRIPTORS_MAX], Wait::Never).unwrap();
        let got = other.receive::<String>(Wait::Never).unwrap().unwrap();
        assert_eq!((got.message.as_str(), got.descriptors.len()), ("hello", DESCRIPTORS_MAX));
        assert_eq!(got.sender, i32::try_from(std::process::id()).ok());
    }

    #[test]
    fn the_largest_message_fits_and_one_byte_more_does_not() {
        let (one, other) = Channel::pair().unwrap();
        let quotes = 2;
        let largest = "x".repeat(MESSAGE_BYTES_MAX - quotes);
        one.send(&largest, &[], Wait::Never).unwrap();
        assert_eq!(other.receive::<String>(Wait::Never).unwrap().unwrap().message, largest);
        let error = one.send(&(largest + "x"), &[], Wait::Never).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn an_end_that_is_gone_reads_as_none() {
        let (one, other) = Channel::pair().unwrap();
        assert_eq!(
            one.receive::<String>(Wait::Never).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        drop(other);
        assert!(one.receive::<String>(Wait::Forever).unwrap().is_none());
    }
}
