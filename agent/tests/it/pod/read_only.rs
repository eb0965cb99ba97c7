//! The agent as a pod confines it: an ordinary user without capabilities, and a root file system that is read-only.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use optidev_agent::wire::ExecResult;
use serde_json::json;

use super::Pod;
use super::renewal::Shell;
use super::server::Server;

#[tokio::test]
async fn the_file_for_last_words_is_shut_and_the_scratch_folder_is_new_at_each_start() {
    let mut pod = Pod::new().await;
    let _server = Server::start(&pod).await;
    let dir = pod.dir.path().to_owned();
    let scratch = dir.join("scratch");
    std::fs::create_dir(dir.join("state")).unwrap();
    std::fs::create_dir_all(scratch.join("deep/er")).unwrap();
    for file in ["words", "outside", "scratch/deep/er/left"] {
        std::fs::write(dir.join(file), "before").unwrap();
    }
    // A folder that its owner may not write cannot be moved by them, and root moves all.
    let shut = scratch.join("deep");
    std::fs::set_permissions(&shut, PermissionsExt::from_mode(0o555)).unwrap();
    let mut confined = Command::new("bwrap");
    confined.args(["--die-with-parent", "--unshare-user", "--uid", "1000"]);
    confined.args(["--cap-drop", "ALL", "--bind", "/", "/", "--dev", "/dev"]);
    // As Kubernetes has it: a file of the node that everybody may write.
    let words = dir.join("words");
    confined
        .arg("--bind")
        .arg(&words)
        .arg("/dev/termination-log");
    confined.args(["--", env!("CARGO_BIN_EXE_optidev-agent")]);
    confined.arg("--scratch").arg(&scratch);
    pod.start_by(confined);
    pod.proven().await;
    let script = format!(
        "cd; echo x >/dev/termination-log; echo x >>{0}/outside; cat /dev/termination-log; \
         echo a >moved && mv moved {0}/scratch/ && cat {0}/scratch/moved && rm {0}/scratch/moved; \
         echo b >/dev/null && echo c >/dev/stdout; ls -A {0}/scratch | grep -v optidev-old; head -c 1 /dev/zero | wc -c",
        dir.display()
    );
    let command = json!({"command": ["sh", "-c", script]});
    let answer = pod.ask("POST", "/v1/exec", command).await.is(200);
    let result: ExecResult = answer.json();
    assert_eq!(result.stdout, "beforea\nc\n1\n", "{}", answer.text());
    let refused = result.stderr.matches("ermission denied").count();
    assert_eq!(refused, 2, "{}", answer.text());
    for file in ["words", "outside"] {
        assert_eq!(std::fs::read_to_string(dir.join(file)).unwrap(), "before");
    }
    let mut shell = Shell::open(&pod).await;
    shell.run("echo te$((1))xt >~/t && cat ~/t", "te1xt").await;
}

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
