//! The agent as a pod confines it: an ordinary user without capabilities, and a root file system that is read-only.

use std::process::Command;

use optidev_agent::wire::ExecResult;
use serde_json::json;

use super::Pod;
use super::renewal::Shell;
use super::server::Server;

#[tokio::test]
async fn home_state_and_secrets_are_all_that_is_written_to() {
    let mut pod = Pod::new().await;
    let _server = Server::start(&pod).await;
    std::fs::create_dir(pod.dir.path().join("state")).unwrap();
    let mut confined = Command::new("bwrap");
    confined.args(["--die-with-parent", "--unshare-user", "--uid", "1000"]);
    confined.args(["--cap-drop", "ALL", "--ro-bind", "/", "/", "--dev", "/dev"]);
    for folder in ["home", "state", "secrets"] {
        let folder = pod.dir.path().join(folder);
        confined.arg("--bind").arg(&folder).arg(&folder);
    }
    confined.args(["--", env!("CARGO_BIN_EXE_optidev-agent")]);
    pod.start_by(confined);
    pod.proven().await;
    assert!(
        pod.dir.path().join("token").exists(),
        "it cannot be removed there, and that is no reason to fail"
    );
    pod.ask("PUT", "/v1/files/a", "text").await.is(201);
    let mut shell = Shell::open(&pod).await;
    shell.run("echo te$((1))xt", "te1xt").await;

    // The parent of the command is the agent, of the same user. Its memory is closed to it.
    let script = "touch $HOME/b; echo x 2>/dev/null > /outside || echo no-root; cat /proc/$PPID/environ 2>/dev/null >&2 || echo no-memory";
    let command = json!({"command": ["sh", "-c", script]});
    let answer = pod.ask("POST", "/v1/exec", command).await.is(200);
    let result: ExecResult = answer.json();
    assert_eq!(result.stdout, "no-root\nno-memory\n", "{}", answer.text());
    assert!(pod.dir.path().join("home/b").exists());
}
