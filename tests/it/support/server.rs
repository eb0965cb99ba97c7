//! The real `optidev serve` on a data folder of its own: started, killed, started again, and gone with the test.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use super::api::Api;
use super::postgres::{self, Postgres};
use super::redis::Redis;
use super::{free_port, node_tools, processes};

/// How long a start may take before a test gives up; a busy machine with two cores is slow.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The password of every account that the tests make.
pub const PASSWORD: &str = "correct horse battery staple 42";

/// What a server is started with.
#[derive(Debug, Default)]
pub struct Builder {
    settings: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    data_dir: Option<PathBuf>,
    embedded: bool,
    program: Option<PathBuf>,
}

/// A server; dropping it ends it and everything that it started.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    program: PathBuf,
    settings: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    data_dir: PathBuf,
    port: u16,
    output: Arc<Mutex<Vec<String>>>,
    /// Whether its rows are in the PostgreSQL that all tests share.
    shared: bool,
    /// Removed last, after the processes that use it.
    folder: Option<TempDir>,
}

/// What `optidev admin create-owner` made.
#[derive(Debug, Clone)]
pub struct Owner {
    pub email: String,
    pub user_id: String,
    pub organization_id: String,
    pub workspace_id: String,
}

impl Builder {
    /// A setting by its name in the file: `set("ai.base_url", "\"http://...\"")` or a bare value.
    pub fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.into()));
        self
    }

    /// A variable of the process's environment that is no setting.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Keeps data in `folder`, which the caller owns.
    pub fn data_dir(mut self, folder: &Path) -> Self {
        self.data_dir = Some(folder.to_path_buf());
        self
    }

    /// Keeps rows in SQLite, whichever database the suite runs on: for tests of what only SQLite has.
    pub fn embedded(mut self) -> Self {
        self.embedded = true;
        self
    }

    /// Runs another executable than the one under test.
    pub fn program(mut self, program: PathBuf) -> Self {
        self.program = Some(program);
        self
    }

    /// Starts and waits until ready.
    pub async fn start(self) -> Server {
        let mut server = self.prepare();
        server.spawn();
        server.wait_ready().await;
        server
    }

    /// Starts and does not wait: for servers that speak TLS.
    pub fn spawn(self) -> Server {
        let mut server = self.prepare();
        server.spawn();
        server
    }

    /// Starts a server that is expected to refuse: waits for its end; answers its status and what it printed.
    pub async fn start_and_fail(self) -> (ExitStatus, String) {
        let mut server = self.prepare();
        server.spawn();
        let child = server.child.as_mut().unwrap();
        let status = tokio::time::timeout(START_LIMIT, child.wait()).await;
        let status = status
            .unwrap_or_else(|_| panic!("the server did not end by itself:\n{}", server.logs()))
            .unwrap();
        // The readers of its output are tasks of their own.
        tokio::time::sleep(Duration::from_millis(50)).await;
        (status, server.logs())
    }

    fn prepare(self) -> Server {
        let folder = self.data_dir.is_none().then(|| {
            tempfile::Builder::new()
                .prefix("optidev-test-")
                .tempdir()
                .unwrap()
        });
        let data_dir = self
            .data_dir
            .unwrap_or_else(|| folder.as_ref().unwrap().path().join("data"));
        let port = free_port();
        let mut settings = vec![
            ("server.listen".to_owned(), format!("127.0.0.1:{port}")),
            // The default is one port for all of them.
            ("metrics.listen".to_owned(), "\"\"".to_owned()),
        ];
        let own = self.settings.iter().any(|(key, _)| key == "database.url");
        let shared = postgres::chosen() && !self.embedded && !own;
        if shared {
            settings.extend(Postgres::shared().database_of(&data_dir).settings());
            // The scaled setup is tested as a whole.
            settings.push(("redis.url".to_owned(), Redis::shared().url()));
            let prefix = format!("{:?}", data_dir.display().to_string());
            settings.push(("redis.key_prefix".to_owned(), prefix));
        }
        if let Some(node) = node_tools() {
            settings.push((
                "runtime.local.toolchains".to_owned(),
                format!("[\"/usr\", \"{}\"]", node.display()),
            ));
            settings.push((
                "runtime.local.path".to_owned(),
                format!("[\"{}/bin\"]", node.display()),
            ));
        }
        for (key, value) in self.settings {
            settings.retain(|(known, _)| *known != key);
            settings.push((key, value));
        }
        Server {
            child: None,
            program: self
                .program
                .unwrap_or_else(|| env!("CARGO_BIN_EXE_optidev").into()),
            settings,
            environment: self.environment,
            data_dir,
            port,
            output: Arc::default(),
            shared,
            folder,
        }
    }
}

impl Server {
    /// A server with default settings on a free port, ready.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn builder() -> Builder {
        Builder::default()
    }

    /// `http://127.0.0.1:<port>`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.child
            .as_ref()
            .and_then(Child::id)
            .expect("the server is not running")
    }

    /// The processes below the server whose command line contains `part`, such as `vault` or `optidev-agent`.
    pub fn children(&self, part: &str) -> Vec<u32> {
        processes::descendants(self.pid())
            .into_iter()
            .filter(|pid| processes::command(*pid).contains(part))
            .collect()
    }

    /// Everything printed so far, by all starts, standard output and error together.
    pub fn logs(&self) -> String {
        self.output
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .join("\n")
    }

    /// The address of the one-time sign-in link, from the line `Sign in: <url>`; the latest when there are several.
    pub fn sign_in_url(&self) -> Option<String> {
        let logs = self.logs();
        logs.lines()
            .rev()
            .find_map(|line| Some(line.split_once("Sign in: ")?.1.trim().to_owned()))
    }

    /// Waits until `/readyz` answers 200.
    pub async fn wait_ready(&mut self) {
        let api = Api::anonymous(&self.url());
        let start = Instant::now();
        loop {
            if let Some(status) = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().unwrap())
            {
                panic!(
                    "the server ended with {status} instead of getting ready:\n{}",
                    self.logs()
                );
            }
            if api
                .request(reqwest::Method::GET, "//readyz")
                .send()
                .await
                .is_ok_and(|response| response.status() == 200)
            {
                return;
            }
            assert!(
                start.elapsed() < START_LIMIT,
                "the server was not ready within {START_LIMIT:?}:\n{}",
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGKILL to the server alone, as the kernel does when memory is short. Its children are left as they are.
    pub async fn kill(&mut self) {
        let mut child = self.child.take().expect("the server is not running");
        child.start_kill().unwrap();
        child.wait().await.unwrap();
    }

    /// SIGTERM; waits for the orderly end.
    pub async fn terminate(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the server is not running");
        processes::signal(child.id().unwrap(), Signal::TERM);
        let status = tokio::time::timeout(START_LIMIT, child.wait()).await;
        status
            .unwrap_or_else(|_| panic!("the server did not end after SIGTERM:\n{}", self.logs()))
            .unwrap()
    }

    /// Starts again on the same data folder and port, after [`Self::kill`] or [`Self::terminate`].
    pub async fn start_again(&mut self) {
        assert!(self.child.is_none(), "the server still runs");
        self.spawn();
        self.wait_ready().await;
    }

    /// The API without a token.
    pub fn anonymous(&self) -> Api {
        Api::anonymous(&self.url())
    }

    /// Makes the first account with its organization and workspace.
    pub async fn create_owner(&self, email: &str) -> Owner {
        let made = self
            .admin(
                &[
                    "create-owner",
                    "--email",
                    email,
                    "--name",
                    "Test Owner",
                    "--password-stdin",
                ],
                PASSWORD,
            )
            .await;
        let field = |name: &str| {
            made[name]
                .as_str()
                .unwrap_or_else(|| panic!("create-owner printed no {name}: {made}"))
                .to_owned()
        };
        Owner {
            email: email.to_owned(),
            user_id: field("user_id"),
            organization_id: field("organization_id"),
            workspace_id: field("workspace_id"),
        }
    }

    /// The API with a new token of the user, for `scopes` as `--scopes` takes them.
    pub async fn api(&self, email: &str, scopes: &str) -> Api {
        let made = self
            .admin(&["token", "--user", email, "--scopes", scopes], "")
            .await;
        let token = made["token"]
            .as_str()
            .unwrap_or_else(|| panic!("admin token printed no token: {made}"));
        self.anonymous().with_token(token)
    }

    /// Runs `optidev admin ... --json` on this server's data; answers what it printed.
    pub async fn admin(&self, arguments: &[&str], input: &str) -> Value {
        let (status, stdout, stderr) = self
            .cli(&[&["admin"], arguments, &["--json"]].concat(), input)
            .await;
        assert!(
            status.success(),
            "optidev admin {arguments:?} ended with {status}: {stderr}"
        );
        serde_json::from_str(&stdout).unwrap_or_else(|error| {
            panic!("optidev admin {arguments:?} printed no JSON ({error}): {stdout}")
        })
    }

    /// Runs `optidev <arguments> --data-dir <this server's>` with its settings; answers status, output and errors.
    pub async fn cli(&self, arguments: &[&str], input: &str) -> (ExitStatus, String, String) {
        let mut command = self.command();
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(&self.data_dir);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that reads nothing may be gone before this is written.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        (
            output.status,
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    /// Changes the server's database behind its back, past every scope and policy.
    pub async fn execute(&self, statement: &str) {
        if self.shared {
            Postgres::shared()
                .database_of(&self.data_dir)
                .sql(statement);
            return;
        }
        let address = format!(
            "sqlite://{}",
            self.data_dir.join("database/optidev.db").display()
        );
        let database = sea_orm::Database::connect(address).await.unwrap();
        sea_orm::ConnectionTrait::execute_unprepared(&database, statement)
            .await
            .unwrap();
        database.close().await.unwrap();
    }

    /// Whether its rows are in the PostgreSQL that all tests share.
    pub fn on_postgres(&self) -> bool {
        self.shared
    }

    /// The executable with this server's settings.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // The developer's own settings must not change what is tested.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OPTIDEV_") {
                command.env_remove(name);
            }
        }
        for (key, value) in &self.settings {
            command.env(postgres::variable(key), value);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.kill_on_drop(true);
        command
    }

    fn spawn(&mut self) {
        let mut command = self.command();
        command.arg("serve").arg("--data-dir").arg(&self.data_dir);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        keep_lines(child.stdout.take().unwrap(), Arc::clone(&self.output));
        keep_lines(child.stderr.take().unwrap(), Arc::clone(&self.output));
        self.child = Some(child);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Found before the server ends: afterwards its children have another parent.
        let mut left = processes::naming(&self.data_dir);
        if let Some(pid) = self.child.as_ref().and_then(Child::id) {
            left.insert(pid);
        }
        for pid in left.clone() {
            left.extend(processes::descendants(pid));
        }
        for pid in left {
            processes::signal(pid, Signal::KILL);
        }
        if self.shared && self.folder.is_some() {
            Postgres::shared().forget(&self.data_dir);
        }
        let logs = self.logs();
        if std::thread::panicking() {
            eprintln!("--- the server's output\n{logs}\n---");
        } else {
            // Debug builds leave such a line out and say so.
            assert!(!logs.contains("held a secret and was left out"), "{logs}");
        }
    }
}

fn keep_lines(stream: impl AsyncRead + Unpin + Send + 'static, output: Arc<Mutex<Vec<String>>>) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            output
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
        }
    });
}
