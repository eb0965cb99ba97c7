//! The log on standard error.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Where lines go. In debug builds one that holds a secret of this process is left out, and another says so: tests fail on it.
struct Guarded<W>(W);

/// What stands in the place of such a line.
#[cfg(debug_assertions)]
const LEFT_OUT: &str =
    "{\"level\":\"ERROR\",\"message\":\"a line of the log held a secret and was left out\"}\n";

impl<W: Write> Write for Guarded<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The subscriber hands over whole lines.
        #[cfg(debug_assertions)]
        if crate::kernel::leaks::holds_secret(line) {
            self.0.write_all(LEFT_OUT.as_bytes())?;
            return Ok(line.len());
        }
        self.0.write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Starts logging.
///
/// # Errors
/// When `[log] level` is not a filter.
pub fn start(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.level).with_context(|| {
        format!(
            "[log] level {:?} is not a level such as \"info\"",
            config.level
        )
    })?;
    let text = match config.format {
        LogFormat::Json => false,
        LogFormat::Text => true,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Guarded(io::stderr()));
    let started = if text {
        builder.compact().with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    started.map_err(|error| anyhow::anyhow!("starting the log: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::kernel::SecretString;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_with_a_secret_is_left_out() {
        let kept = Kept::default();
        let to = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || Guarded(to.clone()))
            .json()
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let secret = SecretString::from("a value that slipped \"out\"");
            tracing::info!(name = "harmless", "said");
            tracing::info!(value = %secret.expose(), "a mistake");
        });
        let said = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert!(lines[0].contains("harmless"), "{said}");
        assert_eq!(lines[1], LEFT_OUT.trim_end(), "{said}");
    }
}
