//! argon2id (RFC 9106), and what a password must be.

use std::sync::OnceLock;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use crate::kernel::{Problem, Rng, SecretString};

/// NIST SP 800-63B asks for 8 or more; 12 because a local owner has nothing else at first.
pub const MIN_CHARACTERS: usize = 12;
/// Longer ones only cost time.
pub const MAX_BYTES: usize = 1024;

/// Why a new password is not taken; the sentence is for the form.
pub fn complaint(password: &SecretString, email: &str) -> Option<String> {
    let text = password.expose();
    if text.chars().count() < MIN_CHARACTERS {
        return Some(format!("Use at least {MIN_CHARACTERS} characters."));
    }
    if text.len() > MAX_BYTES {
        return Some(format!("Use at most {MAX_BYTES} bytes."));
    }
    let distinct = text
        .chars()
        .collect::<std::collections::BTreeSet<_>>()
        .len();
    if distinct < 5 || text.eq_ignore_ascii_case(email) {
        return Some(
            "Too easy to guess. Use a sentence, or a password manager's suggestion.".to_owned(),
        );
    }
    None
}

/// The password's hash in PHC form.
///
/// # Errors
/// When hashing fails; a fault of the server.
pub async fn hash(password: SecretString, rng: Rng) -> Result<String, Problem> {
    let salt = rng.bytes::<16>();
    blocking(move || hash_now(password.expose(), &salt)).await?
}

/// Whether `password` is the one that `stored` was made from. Without a stored hash it takes as long and says no.
///
/// # Errors
/// When the check itself fails; a fault of the server.
pub async fn verify(password: SecretString, stored: Option<String>) -> Result<bool, Problem> {
    blocking(move || {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| nobody().to_owned());
        let fits = Argon2::default()
            .verify_password(password.expose().as_bytes(), stored.as_str())
            .is_ok();
        fits && known
    })
    .await
}

fn hash_now(password: &str, salt: &[u8; 16]) -> Result<String, Problem> {
    Argon2::default()
        .hash_password_with_salt(password.as_bytes(), salt)
        .map(|hash| hash.to_string())
        .map_err(Problem::internal)
}

/// The hash of no one's password, to spend the same time on.
fn nobody() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash_now("nobody has this password", &[7; 16]).unwrap_or_default())
}

/// Each hash takes 19 MiB and a core for a while: as many at a time as there are cores, the others wait.
fn gate() -> &'static Semaphore {
    static GATE: OnceLock<Semaphore> = OnceLock::new();
    GATE.get_or_init(|| {
        Semaphore::new(std::thread::available_parallelism().map_or(2, std::num::NonZero::get))
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let _turn = gate().acquire().await.map_err(Problem::internal)?;
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Problem::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_fits_and_no_other() {
        let stored = hash("correct horse battery".into(), Rng).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$"), "{stored}");
        assert!(
            verify("correct horse battery".into(), Some(stored.clone()))
                .await
                .unwrap()
        );
        assert!(
            !verify("correct horse batterx".into(), Some(stored))
                .await
                .unwrap()
        );
        assert!(
            !verify("nobody has this password".into(), None)
                .await
                .unwrap()
        );
    }

    #[test]
    fn weak_passwords_are_named() {
        assert!(complaint(&"short".into(), "a@b").is_some());
        assert!(complaint(&"aaaaaaaaaaaaaaaa".into(), "a@b").is_some());
        assert!(complaint(&"a sentence of mine".into(), "a@b").is_none());
    }
}
