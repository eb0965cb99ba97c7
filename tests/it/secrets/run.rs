//! `optidev run`: what a command gets, and who may have it run.

use serde_json::json;

use super::cli::{Between, Shell, end, found_below, shell};
use super::place;
use super::project_scope::project;
use crate::containers::member;
use crate::members::signed_in;
use crate::support::api::Api;

/// Ada's workspace with something of every tier, and a project.
async fn furnished(api: &Api, secrets: &str) -> String {
    let shop = project(api, "Shop").await;
    for (path, tier, value, expand) in [
        ("SHOWN".to_owned(), "visible", "shown", false),
        ("HIDDEN".to_owned(), "masked", "canary-hidden", false),
        ("NEVER".to_owned(), "sensitive", "canary-never", false),
        ("URL".to_owned(), "masked", "http://${HIDDEN}/", true),
        ("REFERS".to_owned(), "visible", "${NEVER}", true),
        (
            format!("SHOWN?scope=project&project={shop}"),
            "visible",
            "the project's",
            false,
        ),
    ] {
        let body = json!({"tier": tier, "value": value, "expand": expand});
        api.put(&format!("{secrets}/{path}"), &body).await.ok();
    }
    shop
}

#[tokio::test]
async fn a_command_runs_with_what_may_be_revealed_and_its_end_is_the_end() {
    let (server, api, secrets) = place().await;
    furnished(&api, &secrets).await;
    let between = Between::start(&server.url()).await;
    let ci = shell(&between, &server, &api, "secrets:reveal,projects:read").await;
    let script = "printf '%s|' \"$SHOWN\" \"$HIDDEN\" \"$URL\" \"$NEVER\" \"$REFERS\" \"$OPTIDEV_TOKEN\"; cat; exit 7";
    let ran = ci
        .type_in(&["run", "--", "sh", "-c", script], "its input")
        .await;
    let expected = "shown|canary-hidden|http://canary-hidden/||||its input";
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (7, expected),
        "{}",
        ran.stderr
    );
    let left = "optidev: without NEVER, REFERS (";
    assert!(
        ran.stderr.starts_with(left) && ran.stderr.lines().count() == 1,
        "{}",
        ran.stderr
    );
    let of = ["run", "--project", "shop", "--", "printenv", "SHOWN"];
    assert_eq!(
        Shell::fine(ci.type_in(&of, "").await).stdout,
        "the project's\n"
    );
    // One's own variables give way, unless they are to be kept.
    let mut kept = ci.command(&["run", "--keep", "--", "printenv", "SHOWN", "HIDDEN"]);
    kept.env("SHOWN", "from before");
    let kept = Shell::fine(end(kept, "").await);
    assert_eq!(kept.stdout, "from before\ncanary-hidden\n");
    let nothing = ci.type_in(&["run", "--", "no-such-command"], "").await;
    assert_eq!(nothing.code, 127, "{}", nothing.stderr);

    // Nobody between saw a value, and nothing was written down but the names.
    assert!(!between.heard().contains("canary"), "{}", between.heard());
    assert!(!server.logs().contains("canary"));
    let found = found_below(server.data_dir(), "canary-");
    assert!(found.is_empty(), "{found:?}");
    let audit = format!("/workspaces/{}/audit", ci.workspace);
    let runs = api.get(&format!("{audit}?action=secrets.run")).await.ok();
    let newest = runs["items"][0]["detail"].as_str().unwrap();
    assert_eq!(newest, "HIDDEN SHOWN URL");
    let log = api
        .get(&format!("{audit}?action=secrets.reveal"))
        .await
        .ok();
    assert_eq!(log["items"][0]["detail"], "version 1, for a program");
    assert!(!log.to_string().contains("NEVER"), "{log}");
}

#[tokio::test]
async fn a_token_that_reveals_says_so_and_a_person_is_there() {
    let (server, api, secrets) = place().await;
    furnished(&api, &secrets).await;
    let between = Between::start(&server.url()).await;
    let run = ["run", "--", "printenv"];
    // Everything that was given before this scope was there stays without it.
    for scopes in ["all", "secrets", "read", "secrets:read"] {
        let without = shell(&between, &server, &api, scopes).await;
        let refused = without.type_in(&run, "").await;
        assert_eq!(refused.code, 1, "{scopes}: {}", refused.stdout);
        assert!(
            refused.stderr.contains("secrets:reveal"),
            "{}",
            refused.stderr
        );
        let visible = [
            "run",
            "--visible-only",
            "--",
            "sh",
            "-c",
            "echo $SHOWN $HIDDEN",
        ];
        let visible = Shell::fine(without.type_in(&visible, "").await);
        assert_eq!(visible.stdout, "shown\n");
        assert!(
            visible.stderr.contains("HIDDEN, NEVER, REFERS, URL"),
            "{}",
            visible.stderr
        );
    }
    // A token of this scope sets nothing.
    let narrow = server.api("ada@example.com", "secrets:reveal").await;
    let body = json!({"tier": "visible", "value": "v"});
    narrow
        .put(&format!("{secrets}/X"), &body)
        .await
        .problem(403, "forbidden");
    narrow
        .post(&format!("{secrets}/HIDDEN/reveal"), &json!({}))
        .await
        .problem(403, "forbidden");

    // A member whose role reveals nothing gets their own, and not the workspace's.
    let bob = member(&server, &api, "bob@example.com", "user").await;
    let own = json!({"tier": "masked", "value": "bob's"});
    bob.put(&format!("{secrets}/MINE?scope=own"), &own)
        .await
        .ok();
    let arguments = [
        "token",
        "--user",
        "bob@example.com",
        "--scopes",
        "secrets:reveal",
    ];
    let his = Shell {
        url: server.url(),
        token: server.admin(&arguments, "").await["token"]
            .as_str()
            .unwrap()
            .to_owned(),
        workspace: api.workspace().await,
    };
    let script = "printf '%s|' \"$SHOWN\" \"$HIDDEN\" \"$MINE\"";
    let ran = ["run", "--own", "--", "sh", "-c", script];
    let ran = Shell::fine(his.type_in(&ran, "").await);
    assert_eq!(ran.stdout, "shown||bob's|");
    assert!(ran.stderr.contains("HIDDEN"), "{}", ran.stderr);
    let log = format!(
        "/workspaces/{}/audit?action=secrets.&limit=100",
        his.workspace
    );
    let log = api.get(&log).await.ok().to_string();
    assert!(
        log.contains("1 of the member's own and") && !log.contains("MINE"),
        "{log}"
    );
    // A viewer is shown what is visible.
    let vic = member(&server, &api, "vic@example.com", "viewer").await;
    let key =
        json!({"public_key": "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=", "masked": false});
    let path = format!("{secrets}/run");
    let shown = vic.post(&path, &key).await.ok();
    assert_eq!(
        shown["left_out"],
        json!(["HIDDEN", "NEVER", "REFERS", "URL"])
    );
    // What is no key, and a project that is not there.
    let wrong = json!({"public_key": "AAAA", "masked": false});
    vic.post(&path, &wrong).await.problem(422, "unprocessable");
    let zero = json!({"public_key": format!("{}=", "A".repeat(43)), "masked": false});
    vic.post(&path, &zero).await.problem(403, "forbidden");
    let mut absent = key.clone();
    absent["project"] = json!("prj_01h455vb4pex5vsknk084sn02q");
    vic.post(&path, &absent).await.problem(404, "not_found");

    // A browser's session reveals while its person is there, as everywhere.
    let mut browser = signed_in(&server, "ada@example.com").await;
    let asked = json!({"public_key": "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="});
    let fresh = browser.api("POST", &path, Some(&asked)).await;
    assert_eq!(fresh.0, 200, "{}", fresh.1);
    server
        .execute("UPDATE login_session SET authenticated_at_ms = 1")
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let stale = browser.api("POST", &path, Some(&asked)).await;
    assert!(
        stale.0 == 403 && stale.1.contains("reauthentication_required"),
        "{}",
        stale.1
    );
}
