//! The process is killed, restarted, started twice, started wrongly.

use std::{
    io::Read,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use optidev::vault::{MacPurpose, Tier};

use super::harness::{OPTIDEV, Vault, WORKSPACE, binding, value};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_during_fifty_operations_it_is_back_within_a_second_and_nothing_is_lost() {
    let mut vault = Vault::start().await;
    let client = vault.client();
    let key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let bound = binding(Tier::Masked);
    let before = client.seal(&key, &bound, value("before")).await.unwrap();
    for round in 0..5 {
        let calls: Vec<_> = (0..50)
            .map(|number| {
                let (client, key, bound, before) =
                    (client.clone(), key.clone(), bound.clone(), before.clone());
                tokio::spawn(async move {
                    // Spread around the moment of the kill.
                    tokio::time::sleep(Duration::from_micros(number * 200)).await;
                    let sealed = client.seal(&key, &bound, value("during")).await?;
                    let during = client.reveal(&key, &bound, &sealed).await?;
                    let old = client.reveal(&key, &bound, &before).await?;
                    Ok::<_, optidev::vault::VaultError>((during, old))
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(round * 2)).await;
        let start = Instant::now();
        vault.kill();
        vault.restart();
        client.status().await.unwrap();
        let back = start.elapsed();
        assert!(back < Duration::from_secs(1), "back after {back:?}");
        for call in calls {
            let (during, old) = call.await.unwrap().unwrap();
            assert_eq!(during.expose(), b"during");
            assert_eq!(old.expose(), b"before");
        }
    }
    // Every line is whole, though the process was killed while it wrote.
    assert!(vault.recorded().len() >= 500);
}

#[tokio::test]
async fn a_second_process_on_the_same_record_gives_up() {
    let vault = Vault::start().await;
    let folder = vault.folder.path();
    let second = run_until_exit(&[
        "--socket",
        folder.join("other.sock").to_str().unwrap(),
        "--master",
        folder.join("master").to_str().unwrap(),
        "--record",
        vault.record.to_str().unwrap(),
    ]);
    assert_eq!(second.0, Some(11), "{}", second.1);
    assert!(second.1.contains("another vault process"));
}

#[tokio::test]
async fn wrong_files_end_the_start_with_a_code_and_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (socket, master, record) = (path("s"), path("master"), path("record"));
    let start = |socket: &str, record: &str| {
        run_until_exit(&["--socket", socket, "--master", &master, "--record", record])
    };
    std::fs::write(path("install-id"), "00".repeat(16)).unwrap();
    let (code, message) = start(&socket, &record);
    assert_eq!(code, Some(10), "{message}");
    assert!(message.contains("--create-master"), "{message}");

    std::fs::write(&master, "5a".repeat(32)).unwrap();
    std::fs::set_permissions(&master, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, message) = start(&socket, &record);
    assert_eq!(code, Some(10), "{message}");
    assert!(message.contains("chmod 600"), "{message}");

    std::fs::set_permissions(&master, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (code, message) = start(&path("no/such/folder/s"), &record);
    assert_eq!(code, Some(12), "{message}");
    let (code, message) = start(&socket, &path("no/such/folder/record"));
    assert_eq!(code, Some(14), "{message}");
    assert!(!message.contains("5a5a"), "no message holds the master");
}

#[tokio::test]
async fn ends_when_its_parent_lets_go_of_its_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(OPTIDEV)
        .args(["vault", "--die-with-parent", "--create-master"])
        .arg("--socket")
        .arg(folder.path().join("s"))
        .arg("--master")
        .arg(folder.path().join("master"))
        .arg("--record")
        .arg(folder.path().join("record"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let client = optidev::vault::VaultClient::new(folder.path().join("s"));
    let answer = client.mac(MacPurpose::Csrf, b"").await;
    let alive = child.try_wait().unwrap().is_none();
    drop(child.stdin.take());
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Killed here when it stayed, so that a failing test leaves nothing behind.
    let _ = child.kill();
    let status = child.wait().unwrap();
    assert!(answer.is_ok() && alive);
    assert_eq!(status.code(), Some(0));
}

fn run_until_exit(arguments: &[&str]) -> (Option<i32>, String) {
    let mut child = Command::new(OPTIDEV)
        .arg("vault")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > Duration::from_secs(10) {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut message = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut message)
        .unwrap();
    (status.code(), message)
}
