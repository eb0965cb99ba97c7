//! Containers outlive what goes wrong: a killed agent, a killed server.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::containers::{owner, running, sh, wait_for};
use crate::support::eventually;
use crate::support::processes;
use crate::support::server::Server;
use crate::support::terminal::Terminal;

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_killed_agent_is_noticed_and_comes_back_with_everything() {
    let server = Server::start().await;
    let api = owner(&server).await;
    let path = running(&api).await;
    sh(&api, &path, "echo kept > file").await;
    let (terminal, mut screen) = Terminal::create(&api, &path).await;
    screen.run("echo history-$((6*7))", SOON).await;
    // What outlives the agent does not hide that it has ended.
    screen.run("setsid sleep 300 & echo apart", SOON).await;
    let before = screen.next;

    let agents = server.children("optidev-agent --socket");
    let agent = *agents.iter().max().unwrap();
    let mut events = api.events(&format!("{path}/events")).await;
    events.next(SOON).await;
    processes::signal(agent, rustix::process::Signal::KILL);
    let since = Instant::now();
    let restarting = events
        .until(Duration::from_secs(1), |event| {
            event.json()["state"] == "starting"
        })
        .await;
    assert!(since.elapsed() < Duration::from_secs(1));
    let reason = restarting.last().unwrap().json()["reason"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        reason,
        "The agent ended unexpectedly (signal 9); restarting."
    );
    events
        .until(SOON, |event| event.json()["state"] == "running")
        .await;

    assert_eq!(
        api.get(&format!("{path}/files/file"))
            .await
            .expect(200)
            .text(),
        "kept\n"
    );
    let mut screen =
        Terminal::connect(&api, &format!("{path}/terminals/{terminal}"), Some(before)).await;
    screen.wait_for("restarted", SOON).await;
    assert_eq!(screen.run("echo again", SOON).await, "again");

    // Five times in five minutes is enough; asking for it is a new try.
    for _ in 0..4 {
        let agent = eventually("an agent", SOON, || async {
            server.children("optidev-agent --socket").into_iter().max()
        })
        .await;
        processes::signal(agent, rustix::process::Signal::KILL);
        eventually("an end or a restart", SOON, || async {
            let now = api.get(&path).await.ok();
            let agents = server.children("optidev-agent --socket");
            let again = now["state"] == "running" && agents.into_iter().max() > Some(agent);
            (now["state"] == "failed" || again).then_some(())
        })
        .await;
    }
    let failed = wait_for(&api, &path, "failed").await;
    assert!(
        failed["reason"].as_str().unwrap().contains("five times"),
        "{failed}"
    );
    api.post(&format!("{path}/start"), &json!({}))
        .await
        .expect(202);
    // The failure is what is observed until the controller has begun the new try.
    eventually("running again", SOON, || async {
        let now = api.get(&path).await.ok();
        (now["state"] == "running").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_killed_server_finds_its_containers_again() {
    let mut server = Server::start().await;
    let api = owner(&server).await;
    let path = running(&api).await;
    let (terminal, mut screen) = Terminal::create(&api, &path).await;
    screen.run("sleep 300 & echo started", SOON).await;
    screen.run("setsid sleep 300 & echo apart", SOON).await;
    let agents = server.children("optidev-agent --socket");
    assert!(!agents.is_empty());

    server.kill().await;
    assert!(
        agents.iter().all(|pid| processes::is_alive(*pid)),
        "a container ended with its server"
    );
    server.start_again().await;
    wait_for(&api, &path, "running").await;
    let mut screen = Terminal::connect(&api, &format!("{path}/terminals/{terminal}"), None).await;
    assert!(
        screen.run("jobs", SOON).await.contains("sleep 300"),
        "{}",
        screen.text()
    );
    // Its way out is open again, too.
    let script = "exec 3<>/dev/tcp/127.0.0.1/3128; \
                  printf 'CONNECT denied.example:443 HTTP/1.1\\r\\nHost: denied.example:443\\r\\n\\r\\n' >&3; \
                  timeout 10 head -n 1 <&3";
    let body = json!({"command": ["bash", "-c", script], "timeout_ms": 20_000});
    let out = api.post(&format!("{path}/exec"), &body).await.ok();
    let answer = out["stdout"].as_str().unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{out}");

    // And its end is noticed although another server started it.
    processes::signal(*agents.iter().max().unwrap(), rustix::process::Signal::KILL);
    eventually("a new agent", SOON, || async {
        let now = server.children("optidev-agent --socket");
        (!now.is_empty()).then_some(())
    })
    .await;
    wait_for(&api, &path, "running").await;
    assert!(server.terminate().await.success());
    assert!(processes::naming(server.data_dir()).is_empty());
}

#[tokio::test]
async fn a_server_without_its_launcher_ends_and_says_so_and_containers_go_on() {
    let mut server = Server::start().await;
    let api = owner(&server).await;
    let path = running(&api).await;
    let agents = server.children("optidev-agent --socket");
    let launcher = server.children(" launcher ");
    assert_eq!(launcher.len(), 1, "one launcher");
    processes::signal(launcher[0], rustix::process::Signal::KILL);
    let pid = server.pid();
    eventually("the server's end", SOON, || async {
        (!processes::is_alive(pid)).then_some(())
    })
    .await;
    assert!(!server.terminate().await.success());
    assert!(server.logs().contains("the launcher"), "{}", server.logs());
    assert!(agents.iter().all(|pid| processes::is_alive(*pid)));
    server.start_again().await;
    wait_for(&api, &path, "running").await;
}
