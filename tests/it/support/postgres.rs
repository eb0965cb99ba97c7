//! A real PostgreSQL for the tests: on a loopback port and a private socket, in a folder of its own, gone with the tests.
//!
//! `OPTIDEV_TEST_DATABASE=postgres` gives every test server a database of one PostgreSQL that all tests share. A test
//! that restarts PostgreSQL or sets it up differently starts one of its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::free_port;

/// Whether the whole suite runs on PostgreSQL.
pub fn chosen() -> bool {
    match std::env::var("OPTIDEV_TEST_DATABASE").as_deref() {
        Ok("postgres") => true,
        Ok("sqlite" | "") | Err(_) => false,
        Ok(other) => panic!("OPTIDEV_TEST_DATABASE is {other:?}: use sqlite or postgres"),
    }
}

/// Says in one line that a test does not run on PostgreSQL, and why; answers whether that is so.
pub fn skipped(test: &str, reason: &str) -> bool {
    let skip = chosen();
    if skip {
        eprintln!("skipped on PostgreSQL: {test}: {reason}");
    }
    skip
}

/// The role that owns tables; what `optidev migrate` connects as.
pub const OWNER: &str = "optidev_owner";
/// The role of the server.
pub const RUNTIME: &str = "optidev";
/// The password of both, where PostgreSQL was told to ask for one.
pub const PASSWORD: &str = "quo'te\\ % 42";

/// A PostgreSQL server. Its supervisor ends it and removes its folder when this value or the test process ends.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    bin: PathBuf,
    port: u16,
    supervisor: Mutex<Child>,
    /// Databases by data folder, so that a server that is started again finds its own.
    databases: Mutex<HashMap<PathBuf, String>>,
    template: OnceLock<()>,
}

impl Postgres {
    /// The one that all tests share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// One of a test's own.
    pub fn start() -> Self {
        Self::start_with(
            "local all all trust\nhost all all 127.0.0.1/32 trust\n",
            &[],
        )
    }

    /// One with its own rules of who may connect (`pg_hba.conf`) and settings. The folder of its data is
    /// `<folder>/data`; settings may name files that `prepare` put into the folder.
    pub fn start_with(rules: &str, settings: &[&str]) -> Self {
        Self::start_prepared(rules, settings, |_| {})
    }

    /// Like [`Self::start_with`], after `prepare` wrote files into the folder.
    pub fn start_prepared(rules: &str, settings: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let bin = newest("/usr/lib/postgresql");
        let folder = tempfile::Builder::new()
            .prefix("optidev-postgres-")
            .tempdir()
            .unwrap()
            .keep();
        prepare(&folder);
        if rustix::process::geteuid().is_root() {
            // PostgreSQL refuses to run as root.
            let owned = Command::new("chown")
                .args(["-R", "postgres"])
                .arg(&folder)
                .status();
            assert!(owned.unwrap().success());
        }
        let server = Self {
            supervisor: Mutex::new(supervise(&bin, &folder)),
            folder,
            bin,
            port: free_port(),
            databases: Mutex::default(),
            template: OnceLock::new(),
        };
        let data = server.data();
        server.ok(
            "initdb",
            &[
                "-D",
                text(&data),
                "-A",
                "trust",
                "-U",
                "postgres",
                "--no-sync",
            ],
        );
        std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        let mut lines = format!(
            "\nport = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nmax_connections = 400\n\
             fsync = off\nfull_page_writes = off\nsynchronous_commit = off\nwal_level = minimal\nmax_wal_senders = 0\n",
            server.port,
            server.folder.display(),
        );
        for setting in settings {
            lines.push_str(setting);
            lines.push('\n');
        }
        let file = data.join("postgresql.conf");
        let known = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, known + &lines).unwrap();
        server.up();
        for role in [OWNER, RUNTIME] {
            let rights = if role == OWNER { "CREATEROLE" } else { "" };
            let quoted = PASSWORD.replace('\'', "''");
            server.sql(&format!(
                "CREATE ROLE {role} LOGIN {rights} PASSWORD '{quoted}'"
            ));
        }
        server
    }

    /// The folder: `data`, `log`, sockets.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts PostgreSQL, which [`Self::down`] stopped.
    pub fn up(&self) {
        let (data, log) = (self.data(), self.folder.join("log"));
        self.ok(
            "pg_ctl",
            &["-D", text(&data), "-w", "-s", "-l", text(&log), "start"],
        );
    }

    /// Stops PostgreSQL, cutting off everybody.
    pub fn down(&self) {
        self.ok(
            "pg_ctl",
            &["-D", text(&self.data()), "-m", "fast", "-w", "-s", "stop"],
        );
    }

    /// An empty database that the owner role owns.
    pub fn empty_database(&self) -> Database<'_> {
        let name = new_name();
        self.sql(&format!("CREATE DATABASE {name} OWNER {OWNER}"));
        self.database(name)
    }

    /// A database with the schema of this build, a copy of one that was migrated once.
    pub fn new_database(&self) -> Database<'_> {
        self.template.get_or_init(|| {
            self.sql(&format!("CREATE DATABASE template_optidev OWNER {OWNER}"));
            let template = self.database("template_optidev".to_owned());
            template.migrate();
        });
        let name = new_name();
        // One at a time: a template must not be in use, and copies use it.
        let _copying = self
            .databases
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.sql(&format!(
            "CREATE DATABASE {name} OWNER {OWNER} TEMPLATE template_optidev"
        ));
        self.database(name)
    }

    /// The database of a server's data folder: the one it had, or a new one.
    pub fn database_of(&self, data_dir: &Path) -> Database<'_> {
        let known = |server: &Self| {
            let databases = server.databases.lock();
            let databases = databases.unwrap_or_else(PoisonError::into_inner);
            databases.get(data_dir).cloned()
        };
        if let Some(name) = known(self) {
            return self.database(name);
        }
        let made = self.new_database();
        let mut databases = self
            .databases
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        databases.insert(data_dir.to_path_buf(), made.name.clone());
        made
    }

    /// Drops the database of a data folder that is gone.
    pub fn forget(&self, data_dir: &Path) {
        let mut databases = self
            .databases
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = databases.remove(data_dir) {
            drop(databases);
            // A test that failed is told by its own words, not by these.
            let _ = self.psql(
                "postgres",
                "postgres",
                &format!("DROP DATABASE {name} WITH (FORCE)"),
            );
        }
    }

    fn database(&self, name: String) -> Database<'_> {
        Database { server: self, name }
    }

    /// What psql prints of a statement in the maintenance database, as the superuser.
    pub fn sql(&self, statement: &str) -> String {
        said(self.psql("postgres", "postgres", statement), statement)
    }

    fn psql(&self, role: &str, database: &str, statement: &str) -> Output {
        let port = self.port.to_string();
        // The password may not be taken from anywhere else, and over the socket everybody is trusted.
        Command::new(self.bin.join("psql"))
            .args([
                "-X",
                "-h",
                text(&self.folder),
                "-p",
                &port,
                "-U",
                role,
                "-d",
                database,
            ])
            .args(["-v", "ON_ERROR_STOP=1", "-At", "-c", statement])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn ok(&self, program: &str, arguments: &[&str]) {
        // pg_ctl's child keeps the standard streams, so they must not be pipes that somebody waits for.
        let output = self.folder.with_extension("out");
        let file = std::fs::File::create(&output).unwrap();
        let status = as_postgres(&self.bin.join(program))
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .status()
            .unwrap();
        let printed = std::fs::read_to_string(&output).unwrap();
        std::fs::remove_file(output).unwrap();
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert!(status.success(), "{program}: {printed}\n{log}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let supervisor = self.supervisor.get_mut();
        let supervisor = supervisor.unwrap_or_else(PoisonError::into_inner);
        drop(supervisor.stdin.take());
        let _ = supervisor.wait();
    }
}

/// A database of a [`Postgres`].
#[derive(Debug, Clone)]
pub struct Database<'a> {
    server: &'a Postgres,
    pub name: String,
}

impl Database<'_> {
    /// The address for the server's own role.
    pub fn url(&self) -> String {
        self.url_of(RUNTIME)
    }

    /// The address for the role that owns the tables.
    pub fn migrate_url(&self) -> String {
        self.url_of(OWNER)
    }

    /// The address for `role`, without a password.
    pub fn url_of(&self, role: &str) -> String {
        format!(
            "postgres://{role}@127.0.0.1:{}/{}",
            self.server.port, self.name
        )
    }

    /// The settings of a server that uses this database.
    pub fn settings(&self) -> Vec<(String, String)> {
        // A server has no use for the owner's address; commands are run with the same settings.
        vec![
            ("database.url".to_owned(), self.url()),
            ("database.migrate_url".to_owned(), self.migrate_url()),
        ]
    }

    /// Runs `optidev migrate`.
    ///
    /// # Panics
    /// When it fails.
    pub fn migrate(&self) -> String {
        let output = self.migrate_command().output().unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "optidev migrate: {printed}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// `optidev migrate` for this database.
    pub fn migrate_command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_optidev"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OPTIDEV_") {
                command.env_remove(name);
            }
        }
        for (key, value) in self.settings() {
            command.env(variable(&key), value);
        }
        command
            .args(["migrate", "--data-dir"])
            .arg(self.server.folder.join("unused"))
            .stdin(Stdio::null());
        command
    }

    /// What psql prints of a statement, tuples only; as the superuser, whom no policy holds back.
    pub fn sql(&self, statement: &str) -> String {
        self.sql_as("postgres", statement)
    }

    /// What psql prints of a statement that `role` runs.
    pub fn sql_as(&self, role: &str, statement: &str) -> String {
        said(self.server.psql(role, &self.name, statement), statement)
    }

    /// What PostgreSQL says against a statement of `role`, which must fail.
    pub fn refusal(&self, role: &str, statement: &str) -> String {
        let output = self.server.psql(role, &self.name, statement);
        assert!(!output.status.success(), "{role} may: {statement}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// psql as the superuser, for a session that stays open while its standard input does.
    pub fn session(&self) -> Command {
        let mut command = Command::new(self.server.bin.join("psql"));
        let port = self.server.port.to_string();
        command
            .args([
                "-X",
                "-q",
                "-At",
                "-h",
                text(&self.server.folder),
                "-p",
                &port,
            ])
            .args(["-U", "postgres", "-d", &self.name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command
    }
}

/// The variable of a setting.
pub fn variable(key: &str) -> String {
    format!("OPTIDEV_{}", key.to_uppercase().replace('.', "__"))
}

/// A process that outlives the tests by a moment: when its standard input ends, which the kernel sees to however the
/// tests end, it stops PostgreSQL and removes the folder.
fn supervise(bin: &Path, folder: &Path) -> Child {
    let script = "cat >/dev/null; \"$0/pg_ctl\" -D \"$1/data\" -m immediate -s stop; rm -rf \"$1\"";
    as_postgres(Path::new("setsid"))
        .args(["sh", "-c", script])
        .args([bin, folder])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn as_postgres(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid",
            "postgres",
            "--regid",
            "postgres",
            "--init-groups",
        ])
        .arg(program);
    command
}

fn said(output: Output, statement: &str) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{statement}: {errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn new_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("test_{}_{count}", now.as_millis())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn newest(folder: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{folder}: {error}: run scripts/need database"))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("bin/initdb").exists())
        .collect();
    let major = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        name.parse::<u32>().ok()
    };
    versions.sort_by_key(major);
    let newest = versions.pop().unwrap();
    // The bars are for PostgreSQL 15: an older one would prove less.
    assert!(
        major(&newest) >= Some(15),
        "PostgreSQL 15 or newer is needed, and {} is the newest here",
        newest.display()
    );
    newest.join("bin")
}
