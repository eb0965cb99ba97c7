//! The vault's own wire protocol: length-prefixed binary frames over a Unix stream socket.
//!
//! A frame is `length: u32` and then `length` bytes: `version: u8`, `request id: u64`, `code: u8`, and
//! the fields. In a request the code is the operation, in a reply 0 or the number of an error.
//! Integers are big-endian; a byte string is `length: u32` and its bytes; a list is `count: u32` and
//! its members. Replies carry the id of their request, so that many may be under way at once.
//!
//! What always holds: decoding never panics, never allocates more than a small multiple of the bytes
//! that have arrived, and refuses trailing bytes. Buffers that may hold a value are zeroized, also
//! when they grow. This module does no input or output, and must not import the client or the server.

mod buffer;
mod codec;
mod reply;
mod request;
mod wire;

pub use buffer::Buffer;
pub use codec::{decode_request, encode_request};
pub use reply::{
    decode_anchors, decode_reply, decode_status, encode_anchors, encode_error, encode_reply,
    encode_status,
};
pub use request::{BindingRef, DeliverRef, PatternRef, Request, SubmissionRef};
pub use wire::{DecodeError, Reader, Writer};

/// The version in each frame. Both ends are the same program, so there is no negotiation.
pub const VERSION: u8 = 1;

/// The longest frame, without its length prefix.
pub const MAX_FRAME: usize = 16 * 1024 * 1024;

/// Length prefix of a frame.
const PREFIX: usize = 4;

/// Splits the first complete frame off `bytes`: its body, and how many bytes it took. `None` means
/// that more bytes are needed.
///
/// # Errors
/// [`DecodeError::TooLong`] as soon as the prefix announces more than [`MAX_FRAME`]; the connection
/// cannot be used any further, because the next frame's start is unknown.
pub fn split_frame(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, DecodeError> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*prefix) as usize;
    if length > MAX_FRAME {
        return Err(DecodeError::TooLong { bytes: length });
    }
    Ok(rest.get(..length).map(|body| (body, PREFIX + length)))
}

#[cfg(test)]
mod tests;
