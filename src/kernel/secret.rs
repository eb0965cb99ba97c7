//! Values that must not be seen.
//!
//! A [`Secret`] has no `Debug`, no `Display`, no `Serialize` and no `Clone`: a type that holds one
//! cannot derive those either, so that a secret reaches a log or a response only through a line which
//! says `expose`. The memory is zeroized when it is dropped.
//!
//! ```compile_fail
//! let value = optidev::kernel::secret::SecretString::from(String::from("hunter2"));
//! println!("{value:?}");
//! ```
//!
//! ```compile_fail
//! let value = optidev::kernel::secret::SecretString::from(String::from("hunter2"));
//! let copy = value.clone();
//! ```

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use zeroize::{Zeroize, Zeroizing};

/// What a [`Secret`] may hold.
pub trait Content: Zeroize {
    /// The value as bytes.
    fn bytes(&self) -> &[u8];
}

impl Content for String {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Content for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// A value that is zeroized on drop and cannot be printed, serialized or copied by accident.
pub struct Secret<T: Content>(Zeroizing<T>);

/// A secret text, such as a password or a secret's value.
pub type SecretString = Secret<String>;

/// A secret value that need not be text.
pub type SecretBytes = Secret<Vec<u8>>;

impl<T: Content> Secret<T> {
    /// Wraps `value`; copies that the caller made before are the caller's to wipe.
    #[must_use]
    pub fn new(value: T) -> Self {
        #[cfg(debug_assertions)]
        super::leaks::remember(value.bytes());
        Self(Zeroizing::new(value))
    }

    /// The value itself. Call this on the line that uses it, and keep no copy.
    #[must_use]
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Content + Clone> Secret<T> {
    /// A second copy, asked for by name because each copy is one more place to leak from.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::new(T::clone(&self.0))
    }
}

impl SecretBytes {
    /// The value as text; bytes that are no UTF-8 come back unchanged in the error.
    ///
    /// # Errors
    /// The same secret, when it is not UTF-8.
    pub fn into_string(mut self) -> Result<SecretString, Self> {
        match String::from_utf8(std::mem::take(&mut *self.0)) {
            Ok(text) => Ok(Secret::new(text)),
            Err(error) => Err(Secret::new(error.into_bytes())),
        }
    }
}

impl SecretString {
    /// The value as bytes, without a copy.
    #[must_use]
    pub fn into_bytes(mut self) -> SecretBytes {
        Secret::new(std::mem::take(&mut *self.0).into_bytes())
    }
}

impl<T: Content> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl From<&str> for SecretString {
    fn from(value: &str) -> Self {
        Self::new(value.to_owned())
    }
}

impl From<&[u8]> for SecretBytes {
    fn from(value: &[u8]) -> Self {
        Self::new(value.to_vec())
    }
}

/// Reads a text. What is something else is refused without being repeated: the usual messages quote it.
impl<'de> Deserialize<'de> for SecretString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Whatever stands there is asked for: a reader that was told to expect a text writes the message itself.
        deserializer.deserialize_any(Text)
    }
}

struct Text;

macro_rules! refuse {
    ($($visit:ident: $type:ty),+) => {
        $(fn $visit<E: Error>(self, _: $type) -> Result<Self::Value, E> {
            Err(E::custom("this value must be a text, in quotation marks"))
        })+
    };
}

impl Visitor<'_> for Text {
    type Value = SecretString;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(SecretString::from(text))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Secret::new(text))
    }

    refuse!(visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128, visit_f64: f64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    struct Watched(Arc<AtomicBool>);
    impl Content for Watched {
        fn bytes(&self) -> &[u8] {
            b""
        }
    }
    impl Zeroize for Watched {
        fn zeroize(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn is_zeroized_when_dropped() {
        let wiped = Arc::new(AtomicBool::new(false));
        drop(Secret::new(Watched(Arc::clone(&wiped))));
        assert!(wiped.load(Ordering::SeqCst));
    }

    #[test]
    fn what_is_no_text_is_refused_without_being_repeated() {
        let read = serde_json::from_str::<SecretString>;
        assert!(read("\"caf\\u00e9\"").is_ok_and(|text| text.expose() == "café"));
        for wrong in [
            "90125",
            "-90125",
            "90125.5",
            "[\"90125\"]",
            "{\"90125\": 1}",
        ] {
            let refused = read(wrong).err().map(|error| error.to_string());
            assert!(
                refused.is_some_and(|message| !message.contains("90125")),
                "{wrong}"
            );
        }
    }

    #[test]
    fn converts_without_losing_bytes() {
        let text = SecretBytes::from(b"caf\xc3\xa9".as_slice()).into_string();
        assert!(text.is_ok_and(|text| text.expose() == "café"));
        let bytes = SecretBytes::from(b"\xff\x00".as_slice()).into_string();
        assert!(bytes.is_err_and(|bytes| bytes.expose() == b"\xff\x00"));
    }
}
