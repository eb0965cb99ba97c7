//! Packets between two processes, each with a descriptor at most: a `SOCK_SEQPACKET` pair (unix(7)), which keeps
//! packets whole and in order.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The largest packet, in bytes.
const MOST: usize = 128 * 1024;

/// Two ends, of which one is to be given to another process.
///
/// # Errors
/// When the system has no more descriptors.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// One end.
pub struct Link(AsyncFd<OwnedFd>);

impl Link {
    /// Over an end of [`pair`], inside of a tokio runtime.
    ///
    /// # Errors
    /// When it cannot be watched.
    #[expect(
        unsafe_code,
        reason = "tokio deprecated the safe constructor and has no other for a descriptor"
    )]
    pub fn new(end: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&end, true)?;
        // SAFETY: an OwnedFd always answers the one descriptor that it owns, and keeps it open until it is dropped,
        // which happens inside AsyncFd only.
        let end = unsafe {
            AsyncFd::register_with_interest(end, Interest::READABLE | Interest::WRITABLE)
        }?;
        Ok(Self(end))
    }

    /// Sends one packet, with `descriptor` beside it.
    ///
    /// # Errors
    /// When the other end is gone, or the packet is too large.
    pub async fn send(&self, packet: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        if packet.len() > MOST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a packet of {} bytes, at most {MOST}", packet.len()),
            ));
        }
        self.0
            .async_io(Interest::WRITABLE, |end| {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut beside = SendAncillaryBuffer::new(&mut space);
                let descriptors = descriptor.as_slice();
                if !descriptors.is_empty() {
                    beside.push(SendAncillaryMessage::ScmRights(descriptors));
                }
                let packet = [IoSlice::new(packet)];
                sendmsg(end.as_fd(), &packet, &mut beside, SendFlags::NOSIGNAL)?;
                Ok(())
            })
            .await
    }

    /// Sends nothing more: the other end receives what was sent, and then the end.
    pub fn end(&self) {
        // Refused when the other end is gone already, which comes to the same.
        let _ = rustix::net::shutdown(self.0.get_ref(), rustix::net::Shutdown::Write);
    }

    /// The next packet, or none when the other end is gone.
    ///
    /// # Errors
    /// What the system says, or that a packet was too large.
    pub async fn receive(&self) -> io::Result<Option<(Vec<u8>, Option<OwnedFd>)>> {
        self.0
            .async_io(Interest::READABLE, |end| {
                let mut packet = vec![0; MOST];
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut beside = RecvAncillaryBuffer::new(&mut space);
                let got = recvmsg(
                    end.as_fd(),
                    &mut [IoSliceMut::new(&mut packet)],
                    &mut beside,
                    RecvFlags::CMSG_CLOEXEC,
                )?;
                let mut descriptor = None;
                for message in beside.drain() {
                    if let RecvAncillaryMessage::ScmRights(received) = message {
                        descriptor = received.last();
                    }
                }
                if got.flags.contains(rustix::net::ReturnFlags::TRUNC) {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "a packet that is too large",
                    ));
                }
                // No packet is empty: nothing means the end.
                packet.truncate(got.bytes);
                Ok((got.bytes > 0).then_some((packet, descriptor)))
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn packets_stay_whole_and_descriptors_arrive() {
        let (one, other) = pair().unwrap();
        let (one, other) = (Link::new(one).unwrap(), Link::new(other).unwrap());
        let (mut near, far) = UnixStream::pair().unwrap();
        one.send(b"first", None).await.unwrap();
        one.send(b"second", Some(far.as_fd())).await.unwrap();
        assert_eq!(other.receive().await.unwrap().unwrap().0, b"first");
        let (packet, descriptor) = other.receive().await.unwrap().unwrap();
        assert_eq!(packet, b"second");
        UnixStream::from(descriptor.unwrap())
            .write_all(b"x")
            .unwrap();
        drop(far);
        let mut read = Vec::new();
        near.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"x");
        assert!(one.send(&vec![1; MOST + 1], None).await.is_err());
        drop(one);
        assert!(other.receive().await.unwrap().is_none());
    }
}
