//! Fields: the writer and the reader that every message is made of.

use super::{MAX_FRAME, VERSION, buffer::Buffer};

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The frame announces too much.
    #[error("a frame of {bytes} bytes is longer than any may be")]
    TooLong {
        /// The announced length.
        bytes: usize,
    },
    /// The message ends inside a field.
    #[error("the message ends inside {field}")]
    Truncated {
        /// Which field.
        field: &'static str,
    },
    /// A number that has no meaning.
    #[error("{field} has the unknown number {number}")]
    Unknown {
        /// Which field.
        field: &'static str,
        /// The number.
        number: u64,
    },
    /// Text that is no UTF-8.
    #[error("{field} is not UTF-8")]
    NotText {
        /// Which field.
        field: &'static str,
    },
    /// Bytes after the last field.
    #[error("{bytes} bytes follow the last field")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// Another version of the protocol.
    #[error("version {version} instead of {VERSION}")]
    Version {
        /// The version found.
        version: u8,
    },
}

/// Writes one frame. The length prefix is filled in by [`Writer::finish`].
pub struct Writer(Buffer);

impl Writer {
    /// Starts a frame with the request's id and the code of the operation or reply; `room` is about
    /// how long the fields will be.
    #[must_use]
    pub fn new(id: u64, code: u8, room: usize) -> Self {
        let mut buffer = Buffer::with_capacity(room + 32);
        buffer.extend(&[0; super::PREFIX]);
        let mut writer = Self(buffer);
        writer.u8(VERSION);
        writer.u64(id);
        writer.u8(code);
        writer
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.0.extend(&[value]);
    }

    /// A 32-bit number.
    pub fn u32(&mut self, value: u32) {
        self.0.extend(&value.to_be_bytes());
    }

    /// A 64-bit number.
    pub fn u64(&mut self, value: u64) {
        self.0.extend(&value.to_be_bytes());
    }

    /// A signed 64-bit number.
    pub fn i64(&mut self, value: i64) {
        self.0.extend(&value.to_be_bytes());
    }

    /// Bytes whose number both ends know.
    pub fn fixed(&mut self, value: &[u8]) {
        self.0.extend(value);
    }

    /// A byte string with its length. Over-long strings make the frame over-long, which
    /// [`Writer::finish`] refuses, so the prefix may saturate here.
    pub fn bytes(&mut self, value: &[u8]) {
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.0.extend(value);
    }

    /// The finished frame, ready for the socket.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`] when it is longer than the other end would accept.
    pub fn finish(self) -> Result<Buffer, DecodeError> {
        self.finish_within(MAX_FRAME)
    }

    /// As [`Writer::finish`], for another end that accepts `most` bytes.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`]
    pub fn finish_within(mut self, most: usize) -> Result<Buffer, DecodeError> {
        let bytes = self.0.len().saturating_sub(super::PREFIX);
        match u32::try_from(bytes) {
            Ok(length) if bytes <= most => {
                self.0.patch(0, length.to_be_bytes());
                Ok(self.0)
            }
            _ => Err(DecodeError::TooLong { bytes }),
        }
    }
}

/// Reads the fields of one frame's body.
#[derive(Clone)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads `body` from its start.
    #[must_use]
    pub const fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    /// The version, id and code that each body starts with.
    ///
    /// # Errors
    /// When it is too short or of another version.
    pub fn head(&mut self) -> Result<(u64, u8), DecodeError> {
        let version = self.u8("version")?;
        if version != VERSION {
            return Err(DecodeError::Version { version });
        }
        Ok((self.u64("request id")?, self.u8("code")?))
    }

    /// Bytes whose number both ends know.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`]
    pub fn fixed<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<&'a [u8; N], DecodeError> {
        let (value, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated { field })?;
        self.0 = rest;
        Ok(value)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`]
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.fixed::<1>(field)
            .map(|value| u8::from_be_bytes(*value))
    }

    /// A 32-bit number.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`]
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.fixed::<4>(field)
            .map(|value| u32::from_be_bytes(*value))
    }

    /// A 64-bit number.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`]
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.fixed::<8>(field)
            .map(|value| u64::from_be_bytes(*value))
    }

    /// A signed 64-bit number.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`]
    pub fn i64(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        self.fixed::<8>(field)
            .map(|value| i64::from_be_bytes(*value))
    }

    /// A yes or no, as 1 or 0.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::Unknown`]
    pub fn flag(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            number => Err(DecodeError::Unknown {
                field,
                number: number.into(),
            }),
        }
    }

    /// A byte string.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`]
    pub fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.u32(field)? as usize;
        let (value, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(DecodeError::Truncated { field })?;
        self.0 = rest;
        Ok(value)
    }

    /// A text.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::NotText`]
    pub fn text(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes(field)?).map_err(|_| DecodeError::NotText { field })
    }

    /// A value of an enum, by its number.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::Unknown`]
    pub fn number<T>(
        &mut self,
        field: &'static str,
        of: impl FnOnce(u8) -> Option<T>,
    ) -> Result<T, DecodeError> {
        let number = self.u8(field)?;
        of(number).ok_or(DecodeError::Unknown {
            field,
            number: number.into(),
        })
    }

    /// A list. Nothing is allocated before a member was read, so that a large count costs nothing.
    ///
    /// # Errors
    /// What `member` returns.
    pub fn list<T>(
        &mut self,
        field: &'static str,
        mut member: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.u32(field)?;
        let mut members = Vec::new();
        for _ in 0..count {
            members.push(member(self)?);
        }
        Ok(members)
    }

    /// The end.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] when bytes are left.
    pub fn end(self) -> Result<(), DecodeError> {
        match self.0.len() {
            0 => Ok(()),
            bytes => Err(DecodeError::Trailing { bytes }),
        }
    }
}
