//! Containers over the API: started, entered by their owner only, killed, adopted, stopped, deleted.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::eventually;
use crate::support::processes;
use crate::support::server::{PASSWORD, Server};
use crate::support::terminal::Terminal;

const SOON: Duration = Duration::from_secs(30);

/// The caller's container, running: its path below `/workspaces/...`.
pub async fn running(api: &Api) -> String {
    running_in(api, &api.workspace().await).await
}

/// As [`running`], for a token that does not reach the list of workspaces.
pub async fn running_in(api: &Api, workspace: &str) -> String {
    let list = format!("/workspaces/{workspace}/containers");
    let made = api.post(&list, &json!({})).await.expect(202).json();
    let path = format!("{list}/{}", made["id"].as_str().unwrap());
    wait_for(api, &path, "running").await;
    path
}

/// The container, once it is in `state`.
pub async fn wait_for(api: &Api, path: &str, state: &str) -> Value {
    eventually(state, SOON, || async {
        let now = api.get(path).await.ok();
        assert!(state == "failed" || now["state"] != "failed", "{now}");
        (now["state"] == state).then_some(now)
    })
    .await
}

/// A second person in the first one's workspace.
pub async fn member(server: &Server, api: &Api, email: &str, role: &str) -> Api {
    let workspace = api.workspace().await;
    let arguments = [
        "add-member",
        "--workspace",
        &workspace,
        "--email",
        email,
        "--name",
        "Other",
        "--role",
        role,
        "--password-stdin",
    ];
    let arguments = [&["admin"], &arguments[..]].concat();
    let (status, _, said) = server.cli(&arguments, PASSWORD).await;
    // Who was a member before has an account.
    if !status.success() {
        assert!(said.contains("--existing"), "{said}");
        let there = &["--role", role, "--existing"];
        server.admin(&[&arguments[1..6], there].concat(), "").await;
    }
    server.api(email, "all").await
}

pub async fn owner(server: &Server) -> Api {
    server.create_owner("ada@example.com").await;
    server.api("ada@example.com", "all").await
}

pub async fn sh(api: &Api, path: &str, script: &str) -> Value {
    let body = json!({"command": ["sh", "-c", script], "timeout_ms": 20_000});
    api.post(&format!("{path}/exec"), &body).await.ok()
}

#[tokio::test]
async fn a_container_starts_with_its_steps_and_stops_with_its_files() {
    let mut server = Server::start().await;
    let api = owner(&server).await;
    let workspace = api.workspace().await;
    let list = format!("/workspaces/{workspace}/containers");
    assert_eq!(api.get(&list).await.ok()["items"], json!([]));
    let secret = json!({"tier": "sensitive", "value": "grüße $HOME"});
    let secrets = format!("/workspaces/{workspace}/secrets/GREETING");
    api.put(&secrets, &secret).await.ok();
    let made = api.post(&list, &json!({})).await.expect(202).json();
    assert_eq!(
        (made["wanted"].as_str(), made["mine"].as_bool()),
        (Some("running"), Some(true))
    );
    let path = format!("{list}/{}", made["id"].as_str().unwrap());

    let mut events = api.events(&format!("{path}/events")).await;
    let seen = events
        .until(SOON, |event| event.json()["state"] == "running")
        .await;
    let last = seen.last().unwrap().json();
    assert_eq!(seen[0].name, "container");
    for step in last["steps"].as_array().unwrap() {
        assert_eq!(step["state"], "done", "{step}");
        assert!(step["duration_ms"].is_i64(), "{step}");
    }
    let isolation = last["steps"][1]["message"].as_str().unwrap();
    assert!(
        isolation.contains("no network device but lo"),
        "{isolation}"
    );
    assert!(last["start_duration_ms"].as_i64().unwrap() < 5_000);

    // Asking again changes nothing.
    let again = api.post(&list, &json!({})).await.expect(202).json();
    assert_eq!(
        (&again["id"], &again["state"]),
        (&made["id"], &json!("running"))
    );
    assert_eq!(
        api.get(&list).await.ok()["items"].as_array().unwrap().len(),
        1
    );

    assert_eq!(
        sh(&api, &path, "id -un; pwd; echo kept > file").await["stdout"],
        "dev\n/home/dev\n"
    );
    let told = sh(&api, &path, "printf %s \"$GREETING\"").await;
    assert_eq!(told["stdout"], "grüße $HOME");
    let (terminal, mut screen) = Terminal::create(&api, &path).await;
    assert_eq!(
        screen.run("echo history-$((6*7))", SOON).await,
        "history-42"
    );

    api.post(&format!("{path}/stop"), &json!({}))
        .await
        .expect(202);
    wait_for(&api, &path, "stopped").await;
    let refused = api
        .get(&format!("{path}/files?list=1"))
        .await
        .problem(409, "conflict");
    assert_eq!(
        refused["detail"],
        "The container is not running. Start it first."
    );
    assert!(server.children("bwrap").is_empty());

    // A new server brings nothing back that was stopped, and everything that was wanted.
    assert!(server.terminate().await.success());
    server.start_again().await;
    assert_eq!(api.get(&path).await.ok()["state"], "stopped");
    api.post(&format!("{path}/start"), &json!({}))
        .await
        .expect(202);
    wait_for(&api, &path, "running").await;
    assert_eq!(
        api.get(&format!("{path}/files/file"))
            .await
            .expect(200)
            .text(),
        "kept\n"
    );
    let screen = Terminal::connect(&api, &format!("{path}/terminals/{terminal}"), None).await;
    assert_eq!(screen.first, 0);
    assert!(server.terminate().await.success());
    server.start_again().await;
    wait_for(&api, &path, "running").await;

    api.delete(&path).await.expect(204);
    let id = path.rsplit('/').next().unwrap();
    let volume = server.data_dir().join("containers").join(id);
    eventually("deletion", SOON, || async {
        (!volume.exists()).then_some(())
    })
    .await;
    api.get(&path).await.problem(404, "not_found");
    running(&api).await;
    assert!(server.terminate().await.success());
    assert!(processes::naming(server.data_dir()).is_empty());
}

#[tokio::test]
async fn only_the_owner_gets_in() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let path = running(&ada).await;
    sh(&ada, &path, "echo mine > file").await;
    let (terminal, _screen) = Terminal::create(&ada, &path).await;
    let admin = member(&server, &ada, "bob@example.com", "admin").await;
    let user = member(&server, &ada, "cleo@example.com", "user").await;
    let viewer = member(&server, &ada, "vic@example.com", "viewer").await;
    let absent = format!("{}{}", &path[..path.len() - 4], "zzzz");

    // Everybody sees that it is there.
    for other in [&admin, &user, &viewer] {
        let seen = other.get(&path).await.ok();
        assert_eq!(
            (&seen["mine"], &seen["owner"]["name"]),
            (&json!(false), &json!("Test Owner"))
        );
    }
    // Nobody else gets in, and what they are told is what they are told of a container that is not there.
    for other in [&admin, &user] {
        for inside in [
            "/files?list=1".to_owned(),
            "/files/file".to_owned(),
            "/search?query=x".to_owned(),
            "/archive".to_owned(),
            "/watch".to_owned(),
            "/terminals".to_owned(),
            format!("/terminals/{terminal}"),
            "/ports".to_owned(),
            "/projects/prj_01h455vb4pex5vsknk084sn02q".to_owned(),
        ] {
            let refused = other
                .get(&format!("{path}{inside}"))
                .await
                .problem(404, "not_found");
            let missing = other
                .get(&format!("{absent}{inside}"))
                .await
                .problem(404, "not_found");
            assert_eq!(refused["detail"], missing["detail"], "{inside}");
        }
        other
            .put_bytes(&format!("{path}/files/file"), b"theirs".to_vec())
            .await
            .problem(404, "not_found");
        other
            .delete(&format!("{path}/files/file"))
            .await
            .problem(404, "not_found");
        other
            .post(&format!("{path}/exec"), &json!({"command": ["id"]}))
            .await
            .problem(404, "not_found");
        other
            .post(
                &format!("{path}/terminals"),
                &json!({"cols": 80, "rows": 24}),
            )
            .await
            .problem(404, "not_found");
        other
            .post(&format!("{path}/ports/80/open"), &json!({}))
            .await
            .problem(404, "not_found");
        other
            .post(&format!("{path}/start"), &json!({}))
            .await
            .problem(404, "not_found");
        let socket =
            Terminal::try_connect(other, &format!("{path}/terminals/{terminal}"), None).await;
        assert_eq!(socket.unwrap_err(), 404);
    }
    viewer
        .get(&format!("{path}/files/file"))
        .await
        .problem(403, "forbidden");
    viewer
        .post(&path[..path.rfind('/').unwrap()], &json!({}))
        .await
        .problem(403, "forbidden");
    server
        .anonymous()
        .get(&format!("{path}/files/file"))
        .await
        .problem(401, "unauthenticated");
    let limited = server.api("ada@example.com", "projects").await;
    limited
        .get(&format!("{path}/files/file"))
        .await
        .problem(403, "forbidden");
    // A container's id is good in its own workspace only.
    let other_workspace = path.replacen("wsp_0", "wsp_1", 1);
    ada.get(&other_workspace).await.problem(404, "not_found");
    ada.get(&format!("{other_workspace}/files/file"))
        .await
        .problem(404, "not_found");

    // Ending it is for the owner and for admins.
    user.post(&format!("{path}/stop"), &json!({}))
        .await
        .problem(403, "forbidden");
    user.delete(&path).await.problem(403, "forbidden");
    assert_eq!(
        ada.get(&format!("{path}/files/file"))
            .await
            .expect(200)
            .text(),
        "mine\n"
    );
    admin
        .post(&format!("{path}/stop"), &json!({}))
        .await
        .expect(202);
    wait_for(&ada, &path, "stopped").await;
}

#[tokio::test]
async fn a_project_is_brought_in() {
    let server = Server::start().await;
    let api = owner(&server).await;
    let path = running(&api).await;
    let workspace = api.workspace().await;
    let projects = format!("/workspaces/{workspace}/projects");
    let made = api
        .post(
            &projects,
            &json!({"name": "Empty one", "source": {"kind": "empty"}}),
        )
        .await
        .ok();
    let checkout = format!("{path}/projects/{}", made["id"].as_str().unwrap());
    assert_eq!(api.get(&checkout).await.ok()["state"], "absent");
    assert_eq!(
        api.put(&checkout, &json!({})).await.expect(202).json()["folder"],
        "projects/empty-one"
    );
    ready(&api, &checkout).await;
    assert_eq!(
        api.put(&checkout, &json!({})).await.expect(202).json()["state"],
        "ready"
    );

    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    let mut header = tar::Header::new_gnu();
    header.set_size(6);
    header.set_mode(0o644);
    archive
        .append_data(&mut header, "app/hello.txt", &b"hello\n"[..])
        .unwrap();
    let archive = archive.into_inner().unwrap().finish().unwrap();
    let made = api
        .post_bytes(
            &format!("{projects}/import?name=Packed"),
            "application/gzip",
            archive,
        )
        .await
        .ok();
    let checkout = format!("{path}/projects/{}", made["id"].as_str().unwrap());
    api.put(&checkout, &json!({})).await.expect(202);
    let folder = ready(&api, &checkout).await;
    assert_eq!(
        api.get(&format!("{path}/files/{folder}/hello.txt"))
            .await
            .expect(200)
            .text(),
        "hello\n"
    );

    // A refused host is said in git's words.
    let source = json!({"kind": "git", "url": "https://denied.example/x.git"});
    let made = api
        .post(&projects, &json!({"name": "Far", "source": source}))
        .await
        .ok();
    let checkout = format!("{path}/projects/{}", made["id"].as_str().unwrap());
    api.put(&checkout, &json!({})).await.expect(202);
    let failed = eventually("a refusal", SOON, || async {
        let now = api.get(&checkout).await.ok();
        (now["state"] == "failed").then_some(now)
    })
    .await;
    assert!(failed["message"].as_str().unwrap().len() > 10, "{failed}");
}

async fn ready(api: &Api, checkout: &str) -> String {
    eventually("the project's files", SOON, || async {
        let now = api.get(checkout).await.ok();
        assert_ne!(now["state"], "failed", "{now}");
        (now["state"] == "ready").then(|| now["folder"].as_str().unwrap().to_owned())
    })
    .await
}

#[tokio::test]
async fn starts_again_and_again_to_the_first_byte_of_a_terminal() {
    let server = Server::start().await;
    let api = owner(&server).await;
    let path = running(&api).await;
    let mut times = Vec::new();
    let mut server_times = Vec::new();
    for _ in 0..20 {
        api.post(&format!("{path}/stop"), &json!({}))
            .await
            .expect(202);
        wait_for(&api, &path, "stopped").await;
        let since = Instant::now();
        api.post(&format!("{path}/start"), &json!({}))
            .await
            .expect(202);
        let mut events = api.events(&format!("{path}/events")).await;
        let seen = events
            .until(SOON, |event| event.json()["state"] == "running")
            .await;
        let (_, mut screen) = Terminal::create(&api, &path).await;
        while screen.output.is_empty() {
            assert!(screen.receive().await);
        }
        times.push(since.elapsed());
        server_times.push(
            seen.last().unwrap().json()["start_duration_ms"]
                .as_i64()
                .unwrap(),
        );
    }
    times.sort();
    server_times.sort();
    eprintln!(
        "start to first terminal byte: p50 {:?}, max {:?}; server's own work p50 {} ms",
        times[10], times[19], server_times[10]
    );
    // How fast it has to be is measured by `make bench`, on a machine that does nothing else.
}
