//! One-time passwords (RFC 6238 over RFC 4226): SHA-1, six digits, steps of 30 seconds, which is what
//! every authenticator app understands.

use subtle::ConstantTimeEq;
use totp_rs::{Algorithm, Builder};
use zeroize::Zeroizing;

use crate::vault::types::VaultError;

/// A seed's length: RFC 4226 recommends 160 bits.
pub const SEED: usize = 20;

const STEP_MS: i64 = 30_000;
const DIGITS: u8 = 6;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The seed as people type it: base32 (RFC 4648) without padding, which 20 bytes do not need.
#[must_use]
pub fn base32(seed: &[u8; SEED]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(SEED * 8 / 5));
    for group in seed.chunks(5) {
        let bits = group
            .iter()
            .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            let index = (bits >> (place * 5) & 31) as usize;
            text.push(
                ALPHABET
                    .get(index)
                    .map_or('?', |letter| char::from(*letter)),
            );
        }
    }
    text
}

/// The step whose code was typed: that of `now_ms`, the one before or the one after, later than
/// `last_step`. Spaces in `code` are ignored. All three are compared, each in constant time.
///
/// # Errors
/// [`VaultError::DoesNotDecrypt`] when the seed has another length.
pub fn verify(
    seed: &[u8],
    code: &str,
    now_ms: i64,
    last_step: Option<i64>,
) -> Result<Option<i64>, VaultError> {
    if seed.len() != SEED {
        return Err(VaultError::DoesNotDecrypt);
    }
    let totp = Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(DIGITS)
        .with_step_duration(1)
        .with_skew(0)
        .with_secret(seed.to_vec())
        .build_noncompliant();
    let typed: Zeroizing<Vec<u8>> =
        Zeroizing::new(code.bytes().filter(|byte| *byte != b' ').take(16).collect());
    let now = now_ms.div_euclid(STEP_MS);
    let mut accepted = None;
    for step in [now.saturating_sub(1), now, now.saturating_add(1)] {
        let Ok(counter) = u64::try_from(step) else {
            continue;
        };
        // A step of one second makes the library's time the counter itself.
        let expected = Zeroizing::new(totp.generate(counter).to_string());
        let equal = bool::from(expected.as_bytes().ct_eq(&typed));
        let fresh = last_step.is_none_or(|last| step > last);
        if equal && fresh {
            accepted = Some(step);
        }
    }
    Ok(accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC_SEED: &[u8; SEED] = b"12345678901234567890";

    #[test]
    fn accepts_the_codes_of_rfc_6238() {
        // Appendix B, last six of the eight digits.
        let vectors = [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ];
        for (seconds, code) in vectors {
            let step = seconds / 30;
            let check = |at: i64, last| verify(RFC_SEED, code, at * 1000, last).unwrap();
            assert_eq!(check(seconds, None), Some(step));
            assert_eq!(check(seconds + 30, None), Some(step));
            assert_eq!(check(seconds - 30, None), Some(step));
            assert_eq!(check(seconds + 60, None), None);
            assert_eq!(check(seconds - 60, None), None);
            assert_eq!(check(seconds, Some(step - 1)), Some(step));
            assert_eq!(check(seconds, Some(step)), None, "a step is accepted once");
        }
    }

    #[test]
    fn ignores_spaces_and_refuses_everything_else() {
        let check = |code: &str| verify(RFC_SEED, code, 59_000, None).unwrap();
        assert_eq!(check("287 082"), Some(1));
        for wrong in ["", "28708", "2870822", "287083", "28708२", "00287082"] {
            assert_eq!(check(wrong), None, "{wrong}");
        }
        assert!(verify(b"short", "287082", 59_000, None).is_err());
        assert_eq!(verify(RFC_SEED, "287082", i64::MIN, None), Ok(None));
        assert_eq!(verify(RFC_SEED, "287082", i64::MAX, None), Ok(None));
    }

    #[test]
    fn writes_base32() {
        assert_eq!(
            base32(RFC_SEED).as_str(),
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
        );
    }
}
