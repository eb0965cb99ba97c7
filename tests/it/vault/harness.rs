//! A real vault process for a test.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use optidev::{
    kernel::secret::SecretBytes,
    vault::{Binding, Purpose, Tier, VaultClient},
};

pub const OPTIDEV: &str = env!("CARGO_BIN_EXE_optidev");

pub const WORKSPACE: [u8; 16] = [0xa1; 16];

/// A vault process over files in a folder of its own; it ends with the test.
pub struct Vault {
    pub folder: tempfile::TempDir,
    pub record: PathBuf,
    extra: Vec<String>,
    child: Child,
}

impl Vault {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts with more arguments. Many tests reveal often, so the throttle is wide by default.
    pub async fn start_with(extra: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("record.jsonl");
        Self::start_in(folder, record, extra).await
    }

    pub async fn start_in(folder: tempfile::TempDir, record: PathBuf, extra: &[&str]) -> Self {
        let mut extra: Vec<String> = extra.iter().map(|text| (*text).to_owned()).collect();
        if !extra.iter().any(|text| text == "--reveal-burst") {
            extra.extend(["--reveal-burst", "1000000"].map(str::to_owned));
        }
        let child = spawn(&folder, &record, &extra);
        let vault = Self {
            folder,
            record,
            extra,
            child,
        };
        vault.wait().await;
        vault
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("vault.sock")
    }

    pub fn client(&self) -> VaultClient {
        VaultClient::new(self.socket())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The lines of the record, each of them whole.
    pub fn recorded(&self) -> Vec<serde_json::Value> {
        self.record_lines()
            .collect::<serde_json::Result<_>>()
            .unwrap()
    }

    /// The whole lines of the record and the number of those that a kill cut short: the kernel looks for a fatal
    /// signal between the pages of a write, so a line that crosses a page's end can stay half, unacknowledged.
    pub fn recorded_over_kills(&self) -> (usize, usize) {
        let whole = self.record_lines().filter(Result::is_ok).count();
        (whole, self.record_lines().count() - whole)
    }

    fn record_lines(&self) -> impl Iterator<Item = serde_json::Result<serde_json::Value>> {
        let record = fs::read_to_string(&self.record).unwrap();
        let lines: Vec<_> = record.lines().map(serde_json::from_str).collect();
        lines.into_iter()
    }

    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again over the same files, without waiting.
    pub fn restart(&mut self) {
        self.child = spawn(&self.folder, &self.record, &self.extra);
    }

    /// Waits until it listens.
    pub async fn wait(&self) {
        let start = Instant::now();
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "the vault did not start"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &tempfile::TempDir, record: &PathBuf, extra: &[String]) -> Child {
    Command::new(OPTIDEV)
        .arg("vault")
        .arg("--socket")
        .arg(folder.path().join("vault.sock"))
        .arg("--master")
        .arg(folder.path().join("master"))
        .arg("--record")
        .arg(record)
        .arg("--create-master")
        .args(extra)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

pub fn binding(tier: Tier) -> Binding {
    Binding {
        workspace: WORKSPACE,
        secret: [0xb2; 16],
        version: 1,
        name: "DATABASE_URL".to_owned(),
        purpose: Purpose::Environment,
        tier,
    }
}

pub fn value(text: &str) -> SecretBytes {
    SecretBytes::from(text.as_bytes())
}
