//! The README's commands, run as they stand: every ```bash block, in one bash, beside a real server.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::server::Server;
use crate::support::upstream::{Turn, Upstream};

const README: &str = include_str!("../../README.md");
/// The address that the README names, which the test's server does not have.
const ADDRESS: &str = "http://127.0.0.1:8080";
const LIMIT: Duration = Duration::from_secs(90);

/// A block of commands under its heading, such as `3. Start your container`.
struct Block<'a> {
    heading: &'a str,
    commands: String,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let (mut heading, mut open, mut found) = ("", None, Vec::new());
    for line in text.lines() {
        match (&mut open, line) {
            (None, "```bash") => open = Some(String::new()),
            (None, _) => heading = line.strip_prefix("### ").unwrap_or(heading),
            (Some(_), "```") => found.push(Block {
                heading,
                commands: open.take().unwrap(),
            }),
            (Some(commands), _) => {
                commands.push_str(line);
                commands.push('\n');
            }
        }
    }
    assert!(open.is_none(), "a block of the README does not end");
    found
}

/// A bash that takes one block after the other and answers what each printed.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    async fn start(folder: &Path) -> Self {
        let mut child = Command::new("bash")
            .args(["-c", "exec bash -eu 2>&1"])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        }
    }

    /// Runs `block`; a command that fails ends the shell and the test.
    async fn run(&mut self, block: &Block<'_>) -> String {
        // The commands' own input must not be what comes next in the pipe.
        let text = format!(
            "{{\n{}}} </dev/null\necho; echo '--done--'\n",
            block.commands
        );
        self.input.write_all(text.as_bytes()).await.unwrap();
        let mut printed = String::new();
        loop {
            let line = tokio::time::timeout(LIMIT, self.output.next_line()).await;
            match line {
                Ok(Ok(Some(line))) if line == "--done--" => return printed,
                Ok(Ok(Some(line))) => {
                    printed.push_str(&line);
                    printed.push('\n');
                }
                other => panic!(
                    "{}: {other:?}, {:?}\n{}\nprinted:\n{printed}",
                    block.heading,
                    self.child.try_wait(),
                    block.commands
                ),
            }
        }
    }
}

/// What each step must have printed for the README to be true, by its number; the order is the README's.
const PRINTED: [(&str, &[&str]); 9] = [
    ("1", &["ada@example.com", "\"role\":\"owner\""]),
    (
        "2",
        &[
            "\"slug\":\"notes\"",
            "\"kind\":\"git\"",
            "\"folder\":\"projects/hello\"",
        ],
    ),
    ("3", &["\"state\":\"running\"", "\"project_id\""]),
    (
        "4",
        &["dev\\noptidev\\n", "hello from dev", "\"alive\":true"],
    ),
    (
        "5",
        &[
            "\"name\":\"server.mjs\"",
            "\"status\":412",
            "refused: it has changed since",
            "\"text\":\"<h1>Get started today</h1>\"",
            "index.html",
        ],
    ),
    (
        "6",
        &[
            "<h1>Get started today</h1>",
            "OptiDev egress: example.com:80 is not on the allow-list",
        ],
    ),
    (
        "7",
        &[
            "\"ready\":true",
            "\"type\":\"diff\"",
            "<h1>Hello, OptiDev</h1>",
            "\"restored\":[\"index.html\"]",
        ],
    ),
    (
        "8",
        &["\"tier\":\"sensitive\"", "\"value\":null", "eu-1\\n6\\n"],
    ),
    (
        "9",
        &["\"slug\":\"hello\"", "<h1>Get started today</h1>", "trm_"],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_readme_work_in_their_order() {
    let upstream = Upstream::with_turns(vec![
        Turn::tool("read", json!({"path": "index.html"})),
        Turn::tool(
            "edit",
            json!({"path": "index.html", "old_text": "Get started today", "new_text": "Hello, OptiDev"}),
        ),
        Turn::text("The heading says Hello, OptiDev now."),
    ])
    .await;
    let folder = tempfile::Builder::new()
        .prefix("optidev-test-")
        .tempdir()
        .unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, upstream.key()).unwrap();
    // As in a clone after `make run`: ./data, and the executable where the dev profile puts it.
    let program = folder.path().join("target/debug/optidev");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_optidev"), &program).unwrap();
    let mut server = Server::builder()
        .data_dir(&folder.path().join("data"))
        // The README's commands name no database: theirs is the embedded one.
        .embedded()
        .set("ai.anthropic_base_url", upstream.url())
        .set("ai.anthropic_api_key_file", key.display().to_string())
        .start()
        .await;

    let text = README.replace(ADDRESS, &server.url());
    assert_ne!(text, README, "the README names another address");
    let blocks = blocks(&text);
    let last = blocks.len() - 1;
    let mut shell = Shell::start(folder.path()).await;
    let mut printed: Vec<(&str, String)> = Vec::new();
    for (place, block) in blocks.iter().enumerate() {
        if place == last {
            assert!(server.terminate().await.success(), "{}", server.logs());
            server.start_again().await;
        }
        let more = shell.run(block).await;
        let number = block.heading.split('.').next().unwrap();
        match printed.last_mut() {
            Some((known, text)) if *known == number => text.push_str(&more),
            _ => printed.push((number, more)),
        }
    }
    for ((number, text), (expected, parts)) in printed.iter().zip(PRINTED) {
        assert_eq!(*number, expected, "the steps are in another order");
        for part in parts {
            assert!(
                text.contains(part),
                "step {number} of the README printed no {part:?} but:\n{text}"
            );
        }
    }
    assert_eq!(printed.len(), PRINTED.len(), "the README has other steps");
}

#[test]
fn blocks_are_found_under_their_headings() {
    let text = "### 1. One\n```bash\na\nb\n```\n    make run\n```toml\nx\n```\n### 2. Two\n```bash\nc\n```\n";
    let found: Vec<(&str, String)> = blocks(text)
        .into_iter()
        .map(|block| (block.heading, block.commands))
        .collect();
    assert_eq!(
        found,
        [
            ("1. One", "a\nb\n".to_owned()),
            ("2. Two", "c\n".to_owned())
        ]
    );
}
