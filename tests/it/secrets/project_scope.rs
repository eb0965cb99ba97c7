//! Secrets of a project: beside the workspace's, in place of them, and gone with the project.

use serde_json::{Value, json};

use super::{detail, patch, place};
use crate::containers::member;
use crate::members::signed_in;
use crate::support::api::Api;

/// A new project of the workspace.
pub async fn project(api: &Api, name: &str) -> String {
    let projects = format!("/workspaces/{}/projects", api.workspace().await);
    let new = json!({"name": name, "source": {"kind": "empty"}});
    let made = api.post(&projects, &new).await.expect(201).json();
    made["id"].as_str().unwrap().to_owned()
}

async fn set(api: &Api, path: &str, value: &str) {
    let body = json!({"tier": "visible", "value": value});
    api.put(path, &body).await.expect(200);
}

fn referring(value: &str) -> Value {
    json!({"tier": "visible", "value": value, "expand": true})
}

#[tokio::test]
async fn a_projects_secrets_are_a_list_of_their_own() {
    let (server, api, secrets) = place().await;
    let project = project(&api, "Shop").await;
    let of = format!("scope=project&project={project}");
    set(&api, &format!("{secrets}/NAME"), "the workspace's").await;
    let path = format!("{secrets}/NAME?{of}");
    let item = api
        .put(&path, &json!({"tier": "masked", "value": "first"}))
        .await
        .ok();
    assert_eq!(item["scope"], "project");
    assert_eq!(item["project"], project);
    let list = api.get(&format!("{secrets}?{of}")).await.ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let plain = api.get(&secrets).await.ok();
    assert_eq!(plain["items"].as_array().unwrap().len(), 1);
    assert_eq!(plain["items"][0]["value"], "the workspace's");
    assert_eq!(plain["items"][0]["project"], Value::Null);

    // Everything that is done with the workspace's.
    api.put(&path, &json!({"tier": "masked", "value": "second"}))
        .await
        .ok();
    let back = format!("{secrets}/NAME/rollback?{of}");
    let item = api.post(&back, &json!({"version": 1})).await.ok();
    assert_eq!(
        (&item["version"], &item["project"]),
        (&json!(3), &json!(project))
    );
    let versions = api.get(&format!("{secrets}/NAME/versions?{of}")).await.ok();
    assert_eq!(versions["items"].as_array().unwrap().len(), 3);
    let changed = patch(&api, &path, json!({"description": "theirs"}))
        .await
        .ok();
    assert_eq!(changed["description"], "theirs");
    let mut browser = signed_in(&server, "ada@example.com").await;
    let reveal = format!("{secrets}/NAME/reveal?{of}");
    let (status, text) = browser.api("POST", &reveal, None).await;
    assert_eq!((status, text.as_str()), (200, r#"{"value":"first"}"#));
    let many = json!({"secrets": [{"name": "BULK_1", "tier": "visible", "value": "one"}]});
    let bulk = format!("{secrets}/bulk?{of}");
    assert_eq!(
        api.post(&bulk, &many).await.ok()["items"][0]["project"],
        project
    );
    let text = json!({"text": "BULK_1=two\nNEW=x"});
    let preview = format!("{secrets}/import/preview?{of}");
    let preview = api.post(&preview, &text).await.ok();
    assert_eq!(preview["entries"][0]["state"], "changed");
    assert_eq!(preview["entries"][1]["state"], "added");
    let file = api.get(&format!("{secrets}/export?{of}")).await.expect(200);
    assert!(file.text().contains("BULK_1=one") && !file.text().contains("the workspace's"));
    api.delete(&path).await.expect(204);
    api.delete(&path).await.problem(404, "not_found");
    assert_eq!(
        api.get(&secrets).await.ok()["items"][0]["value"],
        "the workspace's"
    );
    let log = format!(
        "/workspaces/{}/audit?action=secrets.delete",
        api.workspace().await
    );
    let log = api.get(&log).await.ok().to_string();
    assert!(log.contains(&format!("of {project}")), "{log}");
}

#[tokio::test]
async fn a_project_is_named_with_its_scope_and_must_be_there() {
    let (server, api, secrets) = place().await;
    let mine = project(&api, "Shop").await;
    let absent = format!("{}zzzz", &mine[..mine.len() - 4]);
    server.create_owner("eve@example.com").await;
    let eve = server.api("eve@example.com", "all").await;
    let foreign = project(&eve, "Hers").await;
    let value = json!({"tier": "visible", "value": "v"});
    let many = json!({"secrets": [{"name": "A", "tier": "visible", "value": "v"}]});
    let asked = async |query: &str| {
        let one = format!("{secrets}/A{query}");
        vec![
            api.get(&format!("{secrets}{query}")).await,
            api.get(&format!("{secrets}/export{query}")).await,
            api.get(&format!("{secrets}/A/versions{query}")).await,
            api.put(&one, &value).await,
            api.delete(&one).await,
            patch(&api, &one, json!({"description": "d"})).await,
            api.post(
                &format!("{secrets}/A/rollback{query}"),
                &json!({"version": 1}),
            )
            .await,
            api.post(&format!("{secrets}/bulk{query}"), &many).await,
            api.post(
                &format!("{secrets}/import/preview{query}"),
                &json!({"text": "A=1"}),
            )
            .await,
        ]
    };
    for query in [
        "?scope=project".to_owned(),
        format!("?project={mine}"),
        format!("?scope=own&project={mine}"),
    ] {
        for answer in asked(&query).await {
            let problem = answer.problem(422, "unprocessable");
            assert!(detail(&problem).starts_with("project: "), "{problem}");
        }
    }
    let none = asked(&format!("?scope=project&project={absent}")).await;
    let hers = asked(&format!("?scope=project&project={foreign}")).await;
    for (none, hers) in none.into_iter().zip(hers) {
        let refusal = |answer: &crate::support::api::Answer| {
            let mut problem = answer.problem(404, "not_found");
            problem.as_object_mut().unwrap().remove("request_id");
            problem
        };
        assert_eq!(refusal(&none), refusal(&hers));
    }
    api.get(&format!("{secrets}?scope=project&project=nonsense"))
        .await
        .problem(400, "bad_request");

    // As with the workspace's: who may not set those, may not set these.
    let bob = member(&server, &api, "bob@example.com", "user").await;
    let of = format!("?scope=project&project={mine}");
    set(&api, &format!("{secrets}/A{of}"), "shown").await;
    let shown = bob.get(&format!("{secrets}{of}")).await.ok();
    assert_eq!(shown["items"][0]["value"], "shown");
    for answer in [
        bob.put(&format!("{secrets}/A{of}"), &value).await,
        bob.delete(&format!("{secrets}/A{of}")).await,
        bob.post(&format!("{secrets}/bulk{of}"), &many).await,
        bob.post(&format!("{secrets}/A/reveal{of}"), &json!({}))
            .await,
    ] {
        answer.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn references_hold_in_every_set_that_containers_get() {
    let (server, api, secrets) = place().await;
    let project = project(&api, "Shop").await;
    let of = format!("?scope=project&project={project}");
    set(&api, &format!("{secrets}/HOST"), "db").await;
    set(&api, &format!("{secrets}/ONLY_HERE{of}"), "x").await;
    // A project's refer to the workspace's and to its own.
    let url = referring("http://${HOST}/${ONLY_HERE}");
    api.put(&format!("{secrets}/URL{of}"), &url).await.ok();
    // The workspace's and a member's own do not refer to a project's.
    for path in [format!("{secrets}/W"), format!("{secrets}/O?scope=own")] {
        let answer = api.put(&path, &referring("${ONLY_HERE}")).await;
        let problem = answer.problem(422, "unprocessable");
        assert!(
            detail(&problem).contains("no secret ONLY_HERE"),
            "{problem}"
        );
    }
    // A circle that is closed with the project's only, from either side.
    let refused = async |path: &str, value: &str, circle: &str| {
        let answer = api.put(path, &referring(value)).await;
        let problem = answer.problem(422, "unprocessable");
        assert!(detail(&problem).contains(circle), "{problem}");
    };
    set(&api, &format!("{secrets}/URL"), "plain").await;
    refused(&format!("{secrets}/HOST"), "${URL}", "HOST -> URL -> HOST").await;
    refused(
        &format!("{secrets}/HOST?scope=own"),
        "${URL}",
        "HOST -> URL -> HOST",
    )
    .await;
    // What the project's refers to stays, unless it has one of its own.
    let gone = api.delete(&format!("{secrets}/HOST")).await;
    let problem = gone.problem(409, "conflict");
    assert!(detail(&problem).contains("referred to by URL"), "{problem}");
    let gone = api.delete(&format!("{secrets}/ONLY_HERE{of}")).await;
    gone.problem(409, "conflict");
    set(&api, &format!("{secrets}/HOST{of}"), "its own").await;
    api.delete(&format!("{secrets}/HOST")).await.expect(204);
    api.delete(&format!("{secrets}/HOST{of}"))
        .await
        .problem(409, "conflict");
    drop(server);
}

#[tokio::test]
async fn a_projects_secrets_go_with_it() {
    let (server, api, secrets) = place().await;
    let (gone, kept) = (project(&api, "Gone").await, project(&api, "Kept").await);
    let of = |project: &str| format!("scope=project&project={project}");
    for version in ["one", "two"] {
        set(&api, &format!("{secrets}/LATE?{}", of(&gone)), version).await;
    }
    set(&api, &format!("{secrets}/STAYS?{}", of(&kept)), "kept").await;
    set(&api, &format!("{secrets}/SHARED"), "shared").await;
    let workspace = api.workspace().await;
    let place = format!("/workspaces/{workspace}");
    api.delete(&format!("{place}/projects/{gone}"))
        .await
        .expect(204);
    for path in [
        format!("{secrets}?{}", of(&gone)),
        format!("{secrets}/LATE/versions?{}", of(&gone)),
    ] {
        api.get(&path).await.problem(404, "not_found");
    }
    let late = json!({"tier": "visible", "value": "late"});
    api.put(&format!("{secrets}/LATE?{}", of(&gone)), &late)
        .await
        .problem(404, "not_found");
    let log = format!("{place}/audit?action=secrets.delete");
    let log = api.get(&log).await.ok();
    let entry = &log["items"][0];
    assert_eq!(entry["object"], gone);
    assert_eq!(entry["detail"], "1 with their project: LATE");

    // No version is left of it, and those of other projects are the workspace's like all.
    let mut browser = signed_in(&server, "ada@example.com").await;
    let rotate = format!("{secrets}/rotate-key");
    let (status, text) = browser.api("POST", &rotate, Some(&json!({}))).await;
    assert_eq!((status, text.as_str()), (200, r#"{"values":2}"#));
    let kept_list = format!("{secrets}?{}", of(&kept));
    assert_eq!(api.get(&kept_list).await.ok()["items"][0]["value"], "kept");
    let name = api.get(&place).await.ok()["name"].clone();
    let shred = format!("{secrets}/shred-all");
    let (status, text) = browser
        .api("POST", &shred, Some(&json!({"name": name})))
        .await;
    assert_eq!(status, 204, "{text}");
    assert_eq!(api.get(&kept_list).await.ok()["items"], json!([]));
    set(&api, &format!("{secrets}/STAYS?{}", of(&kept)), "again").await;
    let (status, text) = browser.api("DELETE", &place, None).await;
    assert_eq!(status, 204, "{text}");
    api.get(&kept_list).await.problem(404, "not_found");
}

/// Whoever sets a secret and whoever deletes its project meet: none is left behind without a project.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_is_set_while_its_project_goes() {
    let (server, api, secrets) = place().await;
    let projects = format!("/workspaces/{}/projects", api.workspace().await);
    for round in 0..6 {
        let project = project(&api, &format!("Round {round}")).await;
        let of = format!("?scope=project&project={project}");
        let writers: Vec<_> = (0..4)
            .map(|number| {
                let (api, path) = (api.clone(), format!("{secrets}/W{number}{of}"));
                tokio::spawn(async move {
                    let body = json!({"tier": "visible", "value": "v"});
                    api.put(&path, &body).await.status
                })
            })
            .collect();
        let deleted = api.delete(&format!("{projects}/{project}")).await;
        assert_eq!(deleted.status, 204, "{}", deleted.text());
        for writer in writers {
            let status = writer.await.unwrap();
            assert!([200, 404].contains(&status), "{status}");
        }
    }
    // What was left would be counted.
    let mut browser = signed_in(&server, "ada@example.com").await;
    let rotate = format!("{secrets}/rotate-key");
    let (status, text) = browser.api("POST", &rotate, Some(&json!({}))).await;
    assert_eq!((status, text.as_str()), (200, r#"{"values":0}"#));
}

/// To delete a project is less than to delete secrets: whoever may not do that leaves both.
#[tokio::test]
async fn who_may_delete_no_secrets_deletes_no_project_that_has_some() {
    let (server, ada, secrets) = place().await;
    let bob = member(&server, &ada, "bob@example.com", "user").await;
    let workspace = ada.workspace().await;
    let (full, empty) = (project(&ada, "Full").await, project(&ada, "Empty").await);
    let path = format!("{secrets}/KEY?scope=project&project={full}");
    set(&ada, &path, "kept").await;
    let one = |id: &str| format!("/workspaces/{workspace}/projects/{id}");
    let refused = bob.delete(&one(&full)).await;
    let said = detail(&refused.problem(403, "forbidden"));
    assert!(
        said.contains("1 secrets") && said.contains("admin"),
        "{said}"
    );
    // A token that is for projects alone is no more.
    let token = server.api("ada@example.com", "projects").await;
    token.delete(&one(&full)).await.problem(403, "forbidden");
    let of = format!("{secrets}?scope=project&project={full}");
    assert_eq!(ada.get(&of).await.ok()["items"][0]["value"], "kept");
    bob.delete(&one(&empty)).await.expect(204);
    ada.delete(&one(&full)).await.expect(204);
}
