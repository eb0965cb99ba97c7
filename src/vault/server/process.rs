//! What a hardened process of this program is made of, whichever it is: its socket, its end, what it is told at its start.

use std::{
    fs::Permissions,
    io::{self, BufRead, Read},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

use super::peer::RedactorToken;

/// A panic ends its connection, and says where it was and not what it was working on.
pub fn quiet_panics(who: &'static str) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        eprintln!("{who}: internal error at {place}; the connection was closed");
    }));
}

/// Listens on `path` with mode 0600, or 0660 when others have another uid and share a group. The
/// socket appears under its name complete, and replaces one that a killed process left.
///
/// # Errors
/// What the system says.
pub fn listen(path: &Path, alone: bool) -> io::Result<UnixListener> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&temporary)?;
    let mode = if alone { 0o600 } else { 0o660 };
    std::fs::set_permissions(&temporary, Permissions::from_mode(mode))?;
    std::fs::rename(&temporary, path)?;
    Ok(listener)
}

/// Ends the process when standard input does. A pipe and not `PR_SET_PDEATHSIG`, because that signal
/// comes at the end of the thread that started the process, which in a pool of threads is any time.
pub fn watch_parent() {
    let watch = std::thread::Builder::new().name("parent".to_owned());
    let started = watch.stack_size(64 * 1024).spawn(|| {
        let mut ignored = [0; 64];
        let mut input = io::stdin().lock();
        loop {
            match input.read(&mut ignored) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The end, or a pipe that cannot be watched: without a parent there is no work.
                Ok(0) | Err(_) => std::process::exit(0),
            }
        }
    });
    if let Err(error) = started {
        eprintln!("cannot watch the parent process: {error}");
    }
}

/// The token in the first line of standard input, in base64. Before [`watch_parent`].
///
/// # Errors
/// When that line is no token.
pub fn token_from_stdin() -> io::Result<Zeroizing<RedactorToken>> {
    // As long as it can be, so that no copy is left behind by growing.
    let mut line = Zeroizing::new(String::with_capacity(1024));
    io::stdin().lock().take(512).read_line(&mut line)?;
    let bytes = BASE64_STANDARD.decode(line.trim_end());
    let bytes = Zeroizing::new(bytes.unwrap_or_default());
    let token: Option<RedactorToken> = bytes.as_slice().try_into().ok();
    token.map(Zeroizing::new).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the first line of standard input is no token of 32 bytes in base64; the launcher writes it there",
        )
    })
}

/// Whether a listener goes on after this error: what it lacks, others give back.
#[must_use]
pub fn accept_again(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EINTR
                | libc::ECONNABORTED
                | libc::EMFILE
                | libc::ENFILE
                | libc::ENOBUFS
                | libc::ENOMEM
        )
    )
}
