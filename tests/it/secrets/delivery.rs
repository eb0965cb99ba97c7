//! Delivery to containers that run: files, variables, projects, and what old ones have.

use std::time::Duration;

use serde_json::{Value, json};

use super::{patch, place};
use crate::containers::{running, sh, wait_for};
use crate::identity::field;
use crate::members::{signed_in, submit};
use crate::support::api::Api;
use crate::support::eventually;
use crate::support::processes;
use crate::support::terminal::Terminal;

const SOON: Duration = Duration::from_secs(30);

/// Asks for a delivery to the caller's own container, and gives its outcome.
async fn deliver(api: &Api, secrets: &str) -> Value {
    let mine = json!({"containers": "mine"});
    let told = api.post(&format!("{secrets}/deliver"), &mine).await.ok();
    assert_eq!(told["items"].as_array().unwrap().len(), 1, "{told}");
    told["items"][0].clone()
}

async fn delivered(api: &Api, secrets: &str) {
    let told = deliver(api, secrets).await;
    assert_eq!(told["outcome"], "delivered", "{told}");
}

async fn out(api: &Api, container: &str, script: &str) -> String {
    let ended = sh(api, container, script).await;
    assert_eq!(ended["exit_code"], 0, "{ended}");
    ended["stdout"].as_str().unwrap().trim_end().to_owned()
}

/// A new project, its folder made, with secrets of its own: id and folder.
async fn project_with(
    api: &Api,
    container: &str,
    secrets: &str,
    own: &[(&str, Value)],
) -> (String, String) {
    let projects = secrets.replace("/secrets", "/projects");
    let new = json!({"name": "App", "source": {"kind": "empty"}});
    let made = api.post(&projects, &new).await.expect(201).json();
    let id = made["id"].as_str().unwrap().to_owned();
    for (name, body) in own {
        let path = format!("{secrets}/{name}?scope=project&project={id}");
        api.put(&path, body).await.ok();
    }
    let folder = made["folder"].as_str().unwrap().to_owned();
    out(api, container, &format!("mkdir -p {folder}/src")).await;
    (id, folder)
}

async fn outdated(api: &Api, secrets: &str) -> Value {
    let all = api.get(&format!("{secrets}/containers")).await.ok();
    all["items"][0].clone()
}

#[tokio::test]
async fn files_are_memory_that_only_the_containers_user_reads() {
    let (server, api, secrets) = place().await;
    let value = "canary-that-is-a-file-17";
    let file = json!({"tier": "sensitive", "value": value, "delivered_as": "file"});
    let made = api.put(&format!("{secrets}/KEY"), &file).await.ok();
    assert_eq!(made["delivered_as"], "file");
    let both = json!({"secrets": [
        {"name": "BOTH", "tier": "masked", "value": "both", "delivered_as": "both"},
        {"name": "PLAIN", "tier": "masked", "value": "plain"},
    ]});
    let bulk = api.post(&format!("{secrets}/bulk"), &both).await.ok();
    assert_eq!(bulk["items"][1]["delivered_as"], "environment");

    let container = running(&api).await;
    let show = "cd /run/secrets; stat -c '%a %U' . KEY BOTH; stat -f -c %T .; ls -A; cat KEY";
    assert_eq!(
        out(&api, &container, show).await,
        format!("700 dev\n400 dev\n400 dev\ntmpfs\nBOTH\nKEY\n{value}")
    );
    let variables = "echo \"${KEY-none} $KEY_FILE $BOTH ${BOTH_FILE-none} $PLAIN\"";
    assert_eq!(
        out(&api, &container, variables).await,
        "none /run/secrets/KEY both none plain"
    );
    // No file of the host has it.
    let found = tokio::process::Command::new("grep")
        .args(["-rlF", value])
        .arg(server.data_dir())
        .output()
        .await
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    assert!(!server.logs().contains(value));

    // The choice stays with a new value, and is changed without one.
    let new = json!({"tier": "sensitive", "value": "second"});
    let set = api.put(&format!("{secrets}/KEY"), &new).await.ok();
    assert_eq!(set["delivered_as"], "file");
    let plain = json!({"delivered_as": "environment"});
    let changed = patch(&api, &format!("{secrets}/BOTH"), plain).await.ok();
    assert_eq!(
        (&changed["delivered_as"], &changed["version"]),
        (&json!("environment"), &json!(1))
    );
    let old = outdated(&api, &secrets).await;
    let names: Vec<&str> = old["outdated"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["BOTH", "KEY"], "{old}");
    delivered(&api, &secrets).await;
    assert_eq!(
        out(&api, &container, "cd /run/secrets; ls -A; cat KEY").await,
        "KEY\nsecond"
    );

    // The folder of projects' files has this name.
    let taken = json!({"tier": "masked", "value": "x", "delivered_as": "file"});
    api.put(&format!("{secrets}/projects"), &taken)
        .await
        .problem(422, "unprocessable");
    let as_variable = json!({"tier": "masked", "value": "x"});
    api.put(&format!("{secrets}/projects"), &as_variable)
        .await
        .ok();
    let file = json!({"delivered_as": "both"});
    patch(&api, &format!("{secrets}/projects"), file)
        .await
        .problem(422, "unprocessable");
}

#[tokio::test]
async fn a_running_container_gets_new_values_without_a_restart() {
    let (_server, api, secrets) = place().await;
    let set = async |name: &str, value: &str, form: &str| {
        let body = json!({"tier": "masked", "value": value, "delivered_as": form});
        api.put(&format!("{secrets}/{name}"), &body).await.ok();
    };
    set("TOKEN", "one", "both").await;
    set("GOES", "here", "file").await;
    let mine = json!({"containers": "mine"});
    let to = format!("{secrets}/deliver");
    assert_eq!(api.post(&to, &mine).await.ok()["items"], json!([]));
    let container = running(&api).await;
    let (_, mut old) = Terminal::create(&api, &container).await;
    assert_eq!(old.run("echo $TOKEN", SOON).await, "one");
    let current = outdated(&api, &secrets).await;
    assert_eq!(
        (&current["current"], &current["outdated"]),
        (&json!(true), &json!([]))
    );

    set("TOKEN", "two", "both").await;
    set("NEW", "added", "environment").await;
    api.delete(&format!("{secrets}/GOES")).await.expect(204);
    let listed = outdated(&api, &secrets).await;
    assert_eq!(listed["current"], false);
    assert_eq!(
        listed["outdated"],
        json!([
            {"name": "GOES", "project_id": null, "delivered_version": 1, "current_version": null},
            {"name": "NEW", "project_id": null, "delivered_version": null, "current_version": 1},
            {"name": "TOKEN", "project_id": null, "delivered_version": 1, "current_version": 2},
        ])
    );
    // Nothing reaches it by itself.
    assert_eq!(out(&api, &container, "cat /run/secrets/TOKEN").await, "one");
    for _ in 0..2 {
        delivered(&api, &secrets).await;
        let show = "cat /run/secrets/TOKEN; echo \" $TOKEN $NEW\"; ls /run/secrets";
        assert_eq!(out(&api, &container, show).await, "two two added\nTOKEN");
    }
    let (_, mut new) = Terminal::create(&api, &container).await;
    assert_eq!(new.run("echo $TOKEN", SOON).await, "two");
    // A process keeps the variables that it began with; files are new for it, too.
    assert_eq!(
        old.run("echo $TOKEN; cat /run/secrets/TOKEN", SOON).await,
        "one\ntwo"
    );
    let now = outdated(&api, &secrets).await;
    assert_eq!(now["current"], true, "{now}");
    assert!(now["delivered_at_ms"].as_i64() > current["delivered_at_ms"].as_i64());

    api.post(&format!("{container}/stop"), &json!({}))
        .await
        .expect(202);
    wait_for(&api, &container, "stopped").await;
    assert_eq!(deliver(&api, &secrets).await["outcome"], "not_running");
    assert_eq!(
        api.get(&format!("{secrets}/containers")).await.ok()["items"],
        json!([])
    );
}

#[tokio::test]
async fn a_process_gets_the_secrets_of_the_project_that_it_starts_in() {
    let (_server, api, secrets) = place().await;
    let container = running(&api).await;
    let text = |value: &str| json!({"tier": "masked", "value": value});
    let refers = json!({"tier": "masked", "value": "<${NAME}-${HOST}>", "expand": true});
    let file = json!({"tier": "masked", "value": "file of the project", "delivered_as": "file"});
    api.put(&format!("{secrets}/HOST"), &text("host"))
        .await
        .ok();
    // Names of the project alone, and one that the workspace and the member have, too.
    let own = [
        ("NAME", text("project")),
        ("CERT", file),
        ("LAST", text("project")),
    ];
    let (id, folder) = project_with(&api, &container, &secrets, &own).await;
    api.put(&format!("{secrets}/NAME"), &text("workspace"))
        .await
        .ok();
    api.put(&format!("{secrets}/URL"), &refers).await.ok();
    api.put(&format!("{secrets}/LAST?scope=own"), &text("own"))
        .await
        .ok();
    let listed = outdated(&api, &secrets).await;
    let found = listed["outdated"].as_array().unwrap();
    let of_project = found.iter().filter(|one| one["project_id"] == json!(id));
    // Not its LAST: the member's own is in the place of that.
    assert_eq!(of_project.count(), 2, "{listed}");
    delivered(&api, &secrets).await;
    assert_eq!(outdated(&api, &secrets).await["current"], true);

    let show = "printf '%s|%s|%s|%s' \"$NAME\" \"$URL\" \"$LAST\" \"${CERT_FILE-none}\"";
    let slug = folder.strip_prefix("projects/").unwrap();
    let cert = format!("/run/secrets/projects/{slug}/CERT");
    let inside = format!("project|<project-host>|own|{cert}");
    let outside = "workspace|<workspace-host>|own|none";
    let at = async |cwd: &str| {
        let body = json!({"command": ["sh", "-c", show], "cwd": cwd});
        let ended = api.post(&format!("{container}/exec"), &body).await.ok();
        ended["stdout"].as_str().unwrap().to_owned()
    };
    assert_eq!(at(&folder).await, inside);
    assert_eq!(at(&format!("{folder}/src")).await, inside);
    for place in ["", "projects"] {
        assert_eq!(at(place).await, outside, "{place}");
    }
    let look =
        format!("stat -c %a /run/secrets/projects /run/secrets/projects/{slug} {cert}; cat {cert}");
    assert_eq!(
        out(&api, &container, &look).await,
        "700\n700\n400\nfile of the project"
    );
    // Terminals, too.
    let body = json!({"cols": 80, "rows": 24, "cwd": folder});
    let made = api
        .post(&format!("{container}/terminals"), &body)
        .await
        .expect(201)
        .json();
    let path = format!("{container}/terminals/{}", made["id"].as_str().unwrap());
    let mut terminal = Terminal::connect(&api, &path, None).await;
    assert_eq!(terminal.run("echo $NAME", SOON).await, "project");

    // A start gives the same. Of a project that is gone there is nothing.
    api.post(&format!("{container}/stop"), &json!({}))
        .await
        .expect(202);
    wait_for(&api, &container, "stopped").await;
    running(&api).await;
    assert_eq!(at(&folder).await, inside);
    let projects = secrets.replace("/secrets", "/projects");
    api.delete(&format!("{projects}/{id}")).await.expect(204);
    delivered(&api, &secrets).await;
    assert_eq!(at(&folder).await, outside);
    assert_eq!(out(&api, &container, "ls -A /run/secrets").await, "");
}

#[tokio::test]
async fn what_user_code_puts_in_the_way_is_replaced() {
    let (_server, api, secrets) = place().await;
    let file = json!({"tier": "masked", "value": "value", "delivered_as": "file"});
    api.put(&format!("{secrets}/KEY"), &file).await.ok();
    let container = running(&api).await;
    let swap = "echo mine > ~/victim; rm -f /run/secrets/KEY; ln -s ~/victim /run/secrets/KEY; \
        mkdir /run/secrets/dir; ln -s ~ /run/secrets/projects; chmod 500 /run/secrets";
    out(&api, &container, swap).await;
    delivered(&api, &secrets).await;
    let show = "cat ~/victim /run/secrets/KEY; ls -A /run/secrets; ls ~";
    assert_eq!(out(&api, &container, show).await, "mine\nvalueKEY\nvictim");
    // No room: nothing changes, and the reason is told.
    let new = json!({"tier": "masked", "value": "n".repeat(50_000)});
    api.put(&format!("{secrets}/KEY"), &new).await.ok();
    let fill = "dd if=/dev/zero of=/run/secrets/fill bs=1M 2>/dev/null; true";
    out(&api, &container, fill).await;
    let told = deliver(&api, &secrets).await;
    assert_eq!(told["outcome"], "failed", "{told}");
    assert!(told["reason"].as_str().unwrap().contains("full"), "{told}");
    assert_eq!(out(&api, &container, "cat /run/secrets/KEY").await, "value");
    assert_eq!(outdated(&api, &secrets).await["current"], false);
    out(&api, &container, "rm /run/secrets/fill").await;
    delivered(&api, &secrets).await;
}

#[tokio::test]
async fn an_agent_that_ends_in_the_middle_has_what_is_current_when_it_is_back() {
    let (server, api, secrets) = place().await;
    let set = async |value: &str| {
        let body = json!({"tier": "masked", "value": value, "delivered_as": "both"});
        api.put(&format!("{secrets}/KEY"), &body).await.ok();
    };
    set("one").await;
    let container = running(&api).await;
    set("two").await;
    let agent = server.children("optidev-agent --socket").into_iter().max();
    let agent = agent.unwrap();
    processes::signal(agent, rustix::process::Signal::STOP);
    let told = tokio::join!(deliver(&api, &secrets), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        processes::signal(agent, rustix::process::Signal::KILL);
    });
    assert_eq!(told.0["outcome"], "failed", "{}", told.0);
    eventually("the next agent", SOON, || async {
        let now = server.children("optidev-agent --socket").into_iter().max();
        (now > Some(agent)).then_some(())
    })
    .await;
    wait_for(&api, &container, "running").await;
    let show = "cat /run/secrets/KEY; echo \" $KEY\"";
    assert_eq!(out(&api, &container, show).await, "two two");
    assert_eq!(outdated(&api, &secrets).await["current"], true);
}

#[tokio::test]
async fn the_page_shows_old_values_and_delivers_without_script() {
    let (server, api, secrets) = place().await;
    let body = |value: &str| json!({"tier": "masked", "value": value, "delivered_as": "both"});
    api.put(&format!("{secrets}/KEY"), &body("canary-one"))
        .await
        .ok();
    let container = running(&api).await;
    let mut browser = signed_in(&server, "ada@example.com").await;
    assert!(!browser.get(&secrets).await.2.contains("secrets-containers"));
    api.put(&format!("{secrets}/KEY"), &body("canary-two"))
        .await
        .ok();
    // What is shown is what was written of containers, a moment after they run.
    let page = eventually("the section", SOON, || async {
        let mut browser = signed_in(&server, "ada@example.com").await;
        let page = browser.get(&secrets).await.2;
        page.contains("secrets-containers").then_some(page)
    })
    .await;
    let (_, section) = page.split_once("secrets-containers").unwrap();
    let (section, _) = section.split_once("</section>").unwrap();
    assert!(section.contains("Your container"), "{section}");
    assert!(section.contains("<code>KEY</code>"), "{section}");
    assert!(!page.contains("canary"));
    let to = format!("{secrets}/deliver");
    let forged = browser.post(&to, &[("csrf_token", "forged")]).await;
    assert_eq!(forged.0, 403);
    assert_eq!(
        out(&api, &container, "cat /run/secrets/KEY").await,
        "canary-one"
    );
    assert!(!field(&page, "csrf_token").is_empty());
    let (status, to, _) = submit(&mut browser, &secrets, &to, &[]).await;
    assert_eq!((status, to.as_str()), (303, secrets.as_str()));
    assert_eq!(
        out(&api, &container, "cat /run/secrets/KEY").await,
        "canary-two"
    );
    assert!(!browser.get(&secrets).await.2.contains("secrets-containers"));
}
