//! Real S3 storage for the tests: s3s-fs, which checks every signature, on a loopback port and in a folder of its own. It is gone
//! with the tests.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::server::Builder;
use super::{free_port, target_dir};

pub const BUCKET: &str = "archives";
pub const KEY_ID: &str = "optidev-tests";
pub const KEY: &str = "a-secret-key-of-the-storage-5b1e";

/// A server of storage with one empty bucket.
#[derive(Debug)]
pub struct Storage {
    folder: tempfile::TempDir,
    host: String,
    port: u16,
    supervisor: Mutex<Option<Child>>,
}

impl Storage {
    pub fn start() -> Self {
        Self::start_at("127.0.0.1", free_port())
    }

    /// At another address of this machine, for those who see no loopback of it.
    pub fn start_at(host: &str, port: u16) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("optidev-s3-")
            .tempdir()
            .unwrap();
        std::fs::create_dir_all(folder.path().join("data").join(BUCKET)).unwrap();
        std::fs::write(folder.path().join("key"), format!("{KEY}\n")).unwrap();
        std::fs::write(folder.path().join("wrong"), "another-key\n").unwrap();
        let storage = Self {
            folder,
            host: host.to_owned(),
            port,
            supervisor: Mutex::default(),
        };
        storage.up();
        storage
    }

    /// A server that keeps archives here.
    pub fn of(&self, builder: Builder) -> Builder {
        let text = |value: &str| format!("{value:?}");
        builder
            .set("objects.kind", "\"s3\"")
            .set("objects.s3_endpoint", text(&self.url()))
            .set("objects.bucket", text(BUCKET))
            .set("objects.access_key_id", text(KEY_ID))
            .set(
                "objects.secret_access_key_file",
                text(&self.file("key").display().to_string()),
            )
    }

    pub fn url(&self) -> String {
        format!("http://{}:{}", self.host, self.port)
    }

    /// A file beside the data: `key`, or `wrong`, which holds another.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The bucket's folder: an object is the file of its name.
    pub fn bucket(&self) -> PathBuf {
        self.folder.path().join("data").join(BUCKET)
    }

    /// The names of all objects.
    pub fn objects(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.bucket(), &self.bucket(), &mut found);
        found.sort();
        found
    }

    /// Starts it, with what it had.
    pub fn up(&self) {
        let program = target_dir().join("tools/bin/s3s-fs");
        assert!(
            program.exists(),
            "s3s-fs is missing: run scripts/need objects"
        );
        let script = "s=$0; shift; \"$s\" \"$@\" >/dev/null 2>&1 & cat >/dev/null; kill -9 $!";
        let port = self.port.to_string();
        let child = Command::new("setsid")
            .args(["sh", "-c", script])
            .arg(program)
            .args(["-", "--host", &self.host, "--port", &port])
            .args(["--access-key", KEY_ID, "--secret-key", KEY])
            .arg(self.folder.path().join("data"))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        *self
            .supervisor
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(child);
        let start = Instant::now();
        while std::net::TcpStream::connect((self.host.as_str(), self.port)).is_err() {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "s3s-fs does not start"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it at once; the objects stay.
    pub fn down(&self) {
        let child = self
            .supervisor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut child) = child {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.down();
    }
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(root, &path, found);
            continue;
        }
        let name = path.strip_prefix(root).unwrap().display().to_string();
        // Its own notes about what is under way begin with a dot.
        if !path.file_name().unwrap().to_string_lossy().starts_with('.') {
            found.push(name);
        }
    }
}
