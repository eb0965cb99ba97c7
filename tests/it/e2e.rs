//! From nothing to a changed heading in a running preview, in a real browser: `tests/e2e/` drives the pages, this
//! holds what the browser cannot, which is the server's process, the upstream AI and the key's file. The same steps are taken in a
//! cluster (cluster::live::steps).
//!
//! The driver asks in lines of its standard output that begin with `@@`, and is answered on its standard input.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::support::egress::Registry;
use crate::support::project::{HEADING, react_ts_archive, react_ts_zip};
use crate::support::server::Server;
use crate::support::upstream::{Turn, Upstream};
use crate::support::{output_dir, path_variable};

/// The driver has limits of its own for everything it waits for; this one is for a driver that hangs.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// What the assistant makes of [`HEADING`].
const NEW_HEADING: &str = "Made with OptiDev";

/// What the browser is driven against.
pub trait Place {
    /// The link by which the first account is made.
    fn sign_in(&self) -> String;
    /// What the driver's environment has to say of it.
    fn environment(&self) -> Vec<(&'static str, String)>;
    /// Puts the upstream's key where the server's setting says that it is.
    async fn give_key(&mut self, key: &str);
    /// Makes npm in the container of the first account know the registry.
    async fn ready_for_npm(&mut self);
    /// Ends the server in good order and starts it again on the same data.
    async fn restart(&mut self);
}

/// A server on this machine.
struct Local {
    server: Server,
    key_file: PathBuf,
}

impl Place for Local {
    fn sign_in(&self) -> String {
        self.server.sign_in_url().unwrap()
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    async fn give_key(&mut self, key: &str) {
        std::fs::write(&self.key_file, key).unwrap();
    }

    /// Containers see the machine's own settings.
    async fn ready_for_npm(&mut self) {}

    async fn restart(&mut self) {
        let status = self.server.terminate().await;
        assert!(status.success(), "the server ended with {status}");
        self.server.start_again().await;
    }
}

#[tokio::test]
async fn the_nine_steps_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("anthropic.key");
    let upstream = Upstream::with_turns(conversation()).await;
    let mut builder = Server::builder()
        .set("ai.anthropic_base_url", upstream.url())
        .set("ai.anthropic_api_key_file", key_file.to_str().unwrap());
    for (key, value) in Registry::of_this_machine().settings() {
        builder = builder.set(key, value);
    }
    let server = builder.start().await;
    let mut place = Local { server, key_file };

    nine_steps(&mut place, &upstream, "e2e").await;

    let logs = place.server.logs();
    no_secret_in(&logs, &upstream);
}

/// Checks that none of what the steps keep secret was logged.
pub fn no_secret_in(logs: &str, upstream: &Upstream) {
    for secret in [upstream.key(), "tr0ub4dor-masked", "tr0ub4dor-sensitive"] {
        assert!(!logs.contains(secret), "{secret} is in the log:\n{logs}");
    }
}

/// Takes the steps, with `upstream` in the AI provider's place, which has [`conversation`] to tell. `pictures` is the folder of what the
/// browser showed.
pub async fn nine_steps(place: &mut impl Place, upstream: &Upstream, pictures: &str) {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("react-ts.tar.gz");
    std::fs::write(&archive, react_ts_archive()).unwrap();
    let zip = folder.path().join("react-ts.zip");
    std::fs::write(&zip, react_ts_zip()).unwrap();
    drive(place, upstream, [&archive, &zip], pictures).await;

    // What the model was told: the file as it is, that the edit was made, and what the allowed command printed.
    let results: Vec<(String, bool)> = upstream
        .message_calls()
        .iter()
        .flat_map(super::support::upstream::Call::tool_results)
        .map(|(_, text, is_error)| (text, is_error))
        .collect();
    let told = |part: &str| {
        results
            .iter()
            .any(|(text, is_error)| !is_error && text.contains(part))
    };
    for part in ["App.tsx", HEADING, "1 matching line"] {
        assert!(told(part), "no tool result holds {part:?}: {results:#?}");
    }
}

/// One turn of the person: look, read, change the heading, run a command, say what was done.
pub fn conversation() -> Vec<Turn> {
    let slowly = Duration::from_millis(30);
    vec![
        Turn::text("I will look at the page's source first, then change its heading and check that nothing else says the same.")
            .and_tool("list", json!({"path": "src"}))
            .slowly(slowly)
            .chopped(100),
        Turn::tool("read", json!({"path": "src/App.tsx"})),
        Turn::text("The heading is in `src/App.tsx`.").and_tool(
            "edit",
            json!({"path": "src/App.tsx", "old_text": HEADING, "new_text": format!("<h1>{NEW_HEADING}</h1>")}),
        ),
        Turn::tool(
            "run",
            json!({"command": format!("echo \"$(grep -c '{NEW_HEADING}' src/App.tsx) matching line\"")}),
        ),
        Turn::text("Done: the page's heading now says **Made with OptiDev**, and the preview shows it.").slowly(slowly),
    ]
}

/// `node` with a script of `tests/e2e`, which signs in to the server and leaves its pictures in a folder of that name.
fn browser(sign_in: String, script: &str, pictures: &str) -> Command {
    let main = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/e2e")
        .join(script);
    assert!(
        main.with_file_name("node_modules/playwright-core").exists(),
        "the driver's packages are missing: run `make test`, or `npm --prefix tests/e2e ci`"
    );
    let mut node = Command::new("node");
    node.arg(&main)
        .env("PATH", path_variable())
        .env("E2E_SIGN_IN", sign_in)
        .env("E2E_OUTPUT", output_dir(pictures))
        .kill_on_drop(true);
    node
}

#[tokio::test]
async fn the_life_of_secrets_in_a_browser() {
    let server = Server::start().await;
    let mut driver = browser(server.sign_in_url().unwrap(), "secrets.js", "e2e-secrets");
    let status = tokio::time::timeout(LIMIT, driver.status()).await;
    let status = status.unwrap_or_else(|_| panic!("the driver did not end within {LIMIT:?}"));
    assert!(
        status.unwrap().success(),
        "the driver's words are above, its pictures in {}",
        output_dir("e2e-secrets").display()
    );
    let logs = server.logs();
    assert!(
        !logs.contains("tr0ub4dor"),
        "a value is in the log:\n{logs}"
    );
}

/// Runs the driver to its end and answers what it asks for.
async fn drive(
    place: &mut impl Place,
    upstream: &Upstream,
    [archive, zip]: [&Path; 2],
    pictures: &str,
) {
    let started = Instant::now();
    let mut driver = browser(place.sign_in(), "main.js", pictures)
        .envs(place.environment())
        .env("E2E_ARCHIVE", archive)
        .env("E2E_ZIP", zip)
        .env("E2E_HEADING", HEADING)
        .env("E2E_NEW_HEADING", NEW_HEADING)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node does not start: run `scripts/need node browser`");
    let mut answers = driver.stdin.take().unwrap();
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let work = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            let Some(asked) = line.strip_prefix("@@") else {
                eprintln!("{line}");
                continue;
            };
            match asked.trim() {
                "key" => place.give_key(upstream.key()).await,
                "npm" => place.ready_for_npm().await,
                "restart" => place.restart().await,
                other => panic!("the driver asks for {other:?}"),
            }
            let answer = format!("{}\n", Value::from("done"));
            answers.write_all(answer.as_bytes()).await.unwrap();
        }
        driver.wait().await.unwrap()
    };
    let status = tokio::time::timeout(LIMIT, work).await;
    let status = status.unwrap_or_else(|_| panic!("the driver did not end within {LIMIT:?}"));
    assert!(
        status.success(),
        "the driver ended with {status}; its words are above, its pictures in {}",
        output_dir(pictures).display()
    );
    eprintln!("nine steps in {:.1} s", started.elapsed().as_secs_f64());
}
