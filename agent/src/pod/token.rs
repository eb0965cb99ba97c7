//! The one-use token that the container was made with.

use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

const MOST: u64 = 4096;

/// Reads it. The file is read once in the life of an agent.
///
/// # Errors
/// The file cannot be read, is empty, or is no token.
pub fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    // Room for all of it at once: a buffer that grows would leave pieces behind.
    let mut text = Zeroizing::new(String::with_capacity(4097));
    let file = std::fs::File::open(path)?;
    file.take(MOST + 1).read_to_string(&mut text)?;
    let token = text.trim();
    if token.is_empty() || text.len() as u64 > MOST || token.contains(char::is_control) {
        return Err(io::Error::other("it holds no token of at most 4096 bytes"));
    }
    Ok(Zeroizing::new(token.to_owned()))
}

/// It is used up, so nobody needs the file. Kubernetes mounts it read-only; then it stays, and is good for nothing.
pub fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}
