//! A real Redis for the tests: on a loopback port, in a folder of its own, gone with the tests.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::free_port;

/// A Redis server. Its supervisor ends it and removes its folder when this value or the test process ends.
#[derive(Debug)]
pub struct Redis {
    folder: PathBuf,
    port: u16,
    supervisor: Mutex<Option<Child>>,
}

impl Redis {
    /// The one that all tests share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// One of a test's own.
    pub fn start() -> Self {
        Self::start_prepared(|_, port| format!("port {port}\n"))
    }

    /// One with lines of redis.conf, written by `prepare`, which may put files into the folder. They say which port.
    pub fn start_prepared(prepare: impl FnOnce(&Path, u16) -> String) -> Self {
        Self::assert_version();
        let folder = tempfile::Builder::new()
            .prefix("optidev-redis-")
            .tempdir()
            .unwrap()
            .keep();
        let port = free_port();
        let lines = prepare(&folder, port);
        let settings = format!(
            "bind 127.0.0.1\nsave \"\"\nappendonly no\ndir {}\nlogfile {0}/log\n{lines}",
            folder.display()
        );
        std::fs::write(folder.join("redis.conf"), settings).unwrap();
        let server = Self {
            folder,
            port,
            supervisor: Mutex::default(),
        };
        server.up();
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The setting `redis.url`, in the clear and without a password.
    pub fn url(&self) -> String {
        format!("\"redis://127.0.0.1:{}\"", self.port)
    }

    /// Starts it, empty.
    pub fn up(&self) {
        let script = "redis-server \"$0/redis.conf\" >/dev/null & echo $! >\"$0/pid\"; cat >/dev/null; kill -9 $!";
        let child = Command::new("setsid")
            .args(["sh", "-c", script])
            .arg(&self.folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        *self.supervisor() = Some(child);
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "redis-server does not start; run scripts/need database\n{log}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The bars are for Redis 7: an older one would prove less.
    fn assert_version() {
        let output = Command::new("redis-server").arg("--version").output();
        let told = String::from_utf8(output.unwrap().stdout).unwrap();
        let major = told
            .split_once("v=")
            .and_then(|(_, version)| version.split('.').next()?.parse::<u32>().ok());
        assert!(major >= Some(7), "Redis 7 or newer is needed: {told}");
    }

    /// Ends it at once; what it knew is lost.
    pub fn down(&self) {
        if let Some(mut child) = self.supervisor().take() {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }

    /// Stops it where it is: connections stay open and nothing is answered.
    pub fn freeze(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    /// What redis-cli prints for a command.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn pid(&self) -> Pid {
        let text = std::fs::read_to_string(self.folder.join("pid")).unwrap();
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }

    fn supervisor(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.supervisor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.down();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
