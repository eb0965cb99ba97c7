//! Where a value comes from, and files that hold values.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::cli::remote;
use crate::features::secrets::value_complaint;
use crate::kernel::SecretString;

/// The value of `name`: from a file, else from standard input, which is asked without an echo when it is a terminal.
///
/// # Errors
/// When it cannot be read, or is none that a secret can have.
pub fn read(name: &str, file: Option<&Path>) -> anyhow::Result<SecretString> {
    let bytes = match file {
        Some(path) => remote::read(path)?,
        None if std::io::stdin().is_terminal() => prompt(name)?,
        None => {
            let mut bytes = Vec::new();
            std::io::stdin()
                .take(1024 * 1024)
                .read_to_end(&mut bytes)
                .context("reading the value from standard input")?;
            bytes
        }
    };
    let Ok(text) = String::from_utf8(bytes) else {
        bail!("the value is no text, which a variable has to be; encode it, such as in base64");
    };
    let value = SecretString::from(text);
    let value = match line(value.expose()) {
        Some(line) => SecretString::from(line),
        None => value,
    };
    match value_complaint(value.expose()) {
        Some(message) => bail!("{message}"),
        None => Ok(value),
    }
}

/// A single line without its end, which `echo` and editors add. Several lines are a value as they are, such as a key in PEM.
fn line(text: &str) -> Option<&str> {
    let line = text.strip_suffix('\n')?;
    let line = line.strip_suffix('\r').unwrap_or(line);
    (!line.contains('\n')).then_some(line)
}

/// Puts the terminal back as it was.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> anyhow::Result<Self> {
        let before = tcgetattr(std::io::stdin()).context("asking the terminal")?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &quiet)
            .context("keeping the terminal from showing the value")?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[expect(clippy::print_stderr, reason = "a question on the terminal")]
fn prompt(name: &str) -> anyhow::Result<Vec<u8>> {
    eprint!("Value of {name} (not shown): ");
    let mut line = String::new();
    {
        let _quiet = Quiet::begin()?;
        std::io::stdin()
            .read_line(&mut line)
            .context("reading the value from the terminal")?;
    }
    eprintln!();
    Ok(line.into_bytes())
}

/// A day to its end in UTC, or a moment; in milliseconds since 1970.
///
/// # Errors
/// How to write it.
pub fn end(text: &str) -> Result<i64, String> {
    let wrong = || "write a day as 2027-01-31, or a moment as 2027-01-31T12:00:00Z".to_owned();
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(moment.as_millisecond());
    }
    let day: jiff::civil::Date = text.parse().map_err(|_| wrong())?;
    let next = day.tomorrow().map_err(|_| wrong())?;
    let next = next
        .to_zoned(jiff::tz::TimeZone::UTC)
        .map_err(|_| wrong())?;
    Ok(next.timestamp().as_millisecond() - 1)
}

/// Writes a file that only its owner may read; one that is there is replaced as a whole.
///
/// # Errors
/// When it cannot be written.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = Path::new(&beside);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(beside);
    }
    written.with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_loses_its_end_and_several_stay_as_they_are() {
        assert_eq!(line("value\n"), Some("value"));
        assert_eq!(line("value\r\n"), Some("value"));
        assert_eq!(line("\n"), Some(""));
        for whole in ["value", "a\nb\n", "a\n\n", ""] {
            assert_eq!(line(whole), None, "{whole:?}");
        }
    }

    #[test]
    fn a_day_ends_with_its_last_moment() {
        assert_eq!(end("1970-01-01"), Ok(86_399_999));
        assert_eq!(end("1970-01-01T00:00:01Z"), Ok(1_000));
        for wrong in ["", "tomorrow", "31.01.2027", "2027-02-30"] {
            assert!(end(wrong).is_err(), "{wrong}");
        }
    }
}
