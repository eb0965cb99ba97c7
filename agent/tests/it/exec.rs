//! Commands, and the agent's end.

use std::fs;
use std::time::{Duration, Instant};

use optidev_agent::wire::{Activity, ExecResult};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::support::{Agent, runs, until};

#[tokio::test]
async fn runs_with_input_environment_and_folder() {
    let agent = Agent::start();
    agent.put("/v1/files/p/f?parents=1", "").await.is(201);
    let result: ExecResult = agent
        .post(
            "/v1/exec",
            json!({
                "command": ["sh", "-c", "cat; echo $X-$USER-$PWD >&2; exit 7"],
                "cwd": "p", "env": {"X": "y"}, "stdin": "in",
            }),
        )
        .await
        .is(200)
        .json();
    assert_eq!(
        (result.exit_code, result.stdout.as_str(), result.timed_out),
        (Some(7), "in", false)
    );
    assert_eq!(
        result.stderr.trim(),
        format!("y-dev-{}", agent.home().join("p").display())
    );
    agent.post("/v1/exec", json!({"command": []})).await.is(400);
    agent
        .post("/v1/exec", json!({"command": ["/no/such"]}))
        .await
        .is(422);
    agent
        .post(
            "/v1/exec",
            json!({"command": ["ls"], "timeout_ms": 4_000_000}),
        )
        .await
        .is(400);
    agent
        .post("/v1/exec", json!({"command": ["ls"], "env": {"A=B": "x"}}))
        .await
        .is(400);
}

#[tokio::test]
async fn output_is_capped_and_the_command_goes_on() {
    let agent = Agent::start();
    let result: ExecResult = agent
        .post(
            "/v1/exec",
            json!({"command": ["sh", "-c", "head -c 5000000 /dev/zero; echo ok >&2"]}),
        )
        .await
        .is(200)
        .json();
    assert_eq!(
        (result.stdout.len(), result.stdout_truncated),
        (1 << 20, true)
    );
    assert_eq!(
        (
            result.stderr.as_str(),
            result.stderr_truncated,
            result.exit_code
        ),
        ("ok\n", false, Some(0))
    );
}

#[tokio::test]
async fn the_time_limit_ends_grandchildren() {
    let agent = Agent::start();
    let begun = Instant::now();
    let result: ExecResult = agent
        .post("/v1/exec", json!({
            "command": ["sh", "-c", "echo begun; (sleep 300 & echo $! > pid; wait) & wait"], "timeout_ms": 400,
        }))
        .await.is(200).json();
    assert!(result.timed_out && begun.elapsed() < Duration::from_secs(5));
    assert_eq!(
        (result.signal, result.exit_code, result.stdout.as_str()),
        (Some(9), None, "begun\n")
    );
    let pid = fs::read_to_string(agent.home().join("pid")).unwrap();
    until("the grandchild is gone", || !runs(&pid)).await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_command() {
    let agent = Agent::start();
    let mut stream = agent.connect().await;
    let body = json!({"command": ["sh", "-c", "echo $$ > pid.new; mv pid.new pid; sleep 300"]})
        .to_string();
    let request = format!(
        "POST /v1/exec HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let path = agent.home().join("pid");
    until("the command runs", || path.exists()).await;
    let pid = fs::read_to_string(path).unwrap();
    let activity: Activity = agent.get("/v1/activity").await.json();
    assert!(runs(&pid) && activity.commands == 1);
    drop(stream);
    until("the command is gone", || !runs(&pid)).await;
    let activity: Activity = agent.get("/v1/activity").await.json();
    assert_eq!(activity.commands, 0);
}

#[tokio::test]
async fn ends_on_request_and_on_sigterm() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut agent = Agent::start();
    let mode = fs::metadata(agent.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    agent.post("/v1/shutdown", json!(null)).await.is(202);
    assert!(agent.wait().success());
    assert!(!agent.socket().exists());
    agent.start_again();
    agent.signal(rustix::process::Signal::TERM);
    assert!(agent.wait().success());
}
