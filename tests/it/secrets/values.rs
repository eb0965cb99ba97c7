//! Values that clients sealed, many at once, and references between values.

use serde_json::json;

use super::{MASKED, SENSITIVE, VISIBLE, detail, patch, place, seal};
use crate::containers::{running, sh};
use crate::members::signed_in;

#[tokio::test]
async fn a_sealed_value_is_set_delivered_and_never_seen_by_the_server() {
    let (server, api, secrets) = place().await;
    let key = api.get(&format!("{secrets}/submission-key")).await.ok();
    let canary = "canary-sealed-by-the-client-91";
    let set = json!({"tier": "sensitive", "sealed": seal(&key, "KEY", SENSITIVE, canary)});
    let item = api.put(&format!("{secrets}/KEY"), &set).await.ok();
    assert_eq!(
        (&item["version"], &item["tier"]),
        (&json!(1), &json!("sensitive"))
    );
    let masked = json!({"tier": "masked", "sealed": seal(&key, "SHOWN", MASKED, "for people")});
    api.put(&format!("{secrets}/SHOWN"), &masked).await.ok();
    let mut browser = signed_in(&server, "ada@example.com").await;
    let reveal = format!("{secrets}/SHOWN/reveal");
    let (status, shown) = browser.api("POST", &reveal, None).await;
    assert_eq!((status, shown.as_str()), (200, r#"{"value":"for people"}"#));

    let container = running(&api).await;
    let seen = sh(&api, &container, "printf %s \"$KEY\"").await;
    assert_eq!(seen["stdout"], canary);
    let listed = api.get(&secrets).await.ok();
    assert!(
        listed["items"][0]["last_delivered_at_ms"].is_i64(),
        "{listed}"
    );
    assert!(!listed.to_string().contains(canary));
    assert!(!server.logs().contains(canary));
    assert!(
        server.logs().contains("submission-key"),
        "else nothing was searched"
    );
}

#[tokio::test]
async fn a_sealed_value_is_taken_for_what_it_was_meant_only() {
    let (server, api, secrets) = place().await;
    server.create_owner("eve@example.com").await;
    let eve = server.api("eve@example.com", "all").await;
    let theirs = format!("/workspaces/{}/secrets", eve.workspace().await);
    let key = api.get(&format!("{secrets}/submission-key")).await.ok();
    let sealed = || seal(&key, "KEY", SENSITIVE, "canary");
    let mut retired = sealed();
    retired["root"] = json!(77);
    let mut altered = sealed();
    altered["ciphertext"] = json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let mut short = sealed();
    short["enc"] = json!("AAAA");
    let mine = format!("{secrets}/KEY");
    for (api, path, tier, sealed, said) in [
        // A weaker tier, another name, another workspace.
        (&api, mine.clone(), "visible", sealed(), "KEY as visible"),
        (
            &api,
            format!("{secrets}/OTHER"),
            "sensitive",
            sealed(),
            "sealed for OTHER",
        ),
        (
            &eve,
            format!("{theirs}/KEY"),
            "sensitive",
            sealed(),
            "in this workspace",
        ),
        (
            &api,
            mine.clone(),
            "sensitive",
            retired,
            "Fetch the submission key again",
        ),
        (&api, mine.clone(), "sensitive", altered, "altered"),
        (
            &api,
            mine.clone(),
            "sensitive",
            short,
            "enc is not 32 bytes",
        ),
        (
            &api,
            mine.clone(),
            "masked",
            seal(&key, "KEY", MASKED, ""),
            "sealed: ",
        ),
        (
            &api,
            mine.clone(),
            "masked",
            seal(&key, "KEY", MASKED, "a\0"),
            "sealed: ",
        ),
        (
            &api,
            mine.clone(),
            "visible",
            seal(&key, "KEY", MASKED, "a"),
            "sealed: ",
        ),
    ] {
        let set = json!({"tier": tier, "sealed": sealed});
        let problem = api.put(&path, &set).await.problem(422, "unprocessable");
        let detail = detail(&problem);
        assert!(detail.contains(said), "{path}: {detail}");
    }
    for body in [
        json!({"tier": "masked"}),
        json!({"tier": "masked", "value": "v", "sealed": sealed()}),
    ] {
        let problem = api.put(&mine, &body).await.problem(422, "unprocessable");
        assert!(detail(&problem).contains("either value or sealed"));
    }
    assert_eq!(api.get(&secrets).await.ok()["items"], json!([]));
    // Meant for this, it is taken.
    let set = json!({"tier": "visible", "sealed": seal(&key, "KEY", VISIBLE, "seen")});
    api.put(&mine, &set).await.ok();
    assert_eq!(api.get(&secrets).await.ok()["items"][0]["value"], "seen");
}

#[tokio::test]
async fn of_many_all_are_set_or_none_and_everything_wrong_is_told_by_name() {
    let (_server, api, secrets) = place().await;
    let key = api.get(&format!("{secrets}/submission-key")).await.ok();
    let bulk = format!("{secrets}/bulk");
    let one = |name: &str, value: &str| json!({"name": name, "tier": "visible", "value": value});
    let sealed = json!({"name": "D", "tier": "visible", "sealed": seal(&key, "D", MASKED, "x")});
    for (list, said) in [
        (
            vec![
                one("A", "1"),
                one("PATH", "2"),
                one("B", ""),
                json!({"name": "C", "tier": "masked"}),
            ],
            vec![
                "Nothing was set",
                "PATH: name: ",
                "B: value: ",
                "C: value: ",
            ],
        ),
        (vec![one("A", "1"), sealed], vec!["D: sealed: "]),
        (
            vec![one("A", "1"), one("A", "2")],
            vec!["A: name: It stands twice"],
        ),
        (vec![], vec!["between 1 and 200"]),
        (vec![one("A", "1"); 201], vec!["201 are to be set"]),
    ] {
        let problem = api.post(&bulk, &json!({"secrets": list})).await;
        let detail = detail(&problem.problem(422, "unprocessable"));
        for words in said {
            assert!(detail.contains(words), "{words}: {detail}");
        }
        assert!(!detail.contains("A: value"), "{detail}");
    }
    assert_eq!(api.get(&secrets).await.ok()["items"], json!([]));
    let unknown =
        json!({"secrets": [{"name": "A", "tier": "visible", "value": "1", "colour": "red"}]});
    api.post(&bulk, &unknown)
        .await
        .problem(422, "unprocessable");
    let list: Vec<_> = (0..200)
        .map(|n| one(&format!("N{n}"), &format!("v{n}")))
        .collect();
    let set = api.post(&bulk, &json!({"secrets": list})).await.ok();
    assert_eq!(set["items"].as_array().unwrap().len(), 200);
    let listed = api.get(&secrets).await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 200);
    assert_eq!(listed["items"][0]["value"], "v0");
}

/// Two that set the same names at once: each secret is one writer's, and all of them are the same writer's.
#[tokio::test]
async fn two_who_set_many_at_once_do_not_mix() {
    let (_server, api, secrets) = place().await;
    let bulk = format!("{secrets}/bulk");
    for round in 0..10 {
        let list = |who: &str| {
            let all =
                (0..20).map(|n| json!({"name": format!("N{n}"), "tier": "visible", "value": who}));
            json!({"secrets": all.collect::<Vec<_>>()})
        };
        let (left, right) = (list("left"), list("right"));
        let (left, right) = tokio::join!(api.post(&bulk, &left), api.post(&bulk, &right));
        let statuses = [left.status, right.status];
        assert!(
            statuses.iter().all(|status| [200, 409].contains(status)),
            "{statuses:?}"
        );
        assert!(statuses.contains(&200), "{round}: {statuses:?}");
        let listed = api.get(&secrets).await.ok();
        let items = listed["items"].as_array().unwrap();
        let first = &items[0]["value"];
        assert!(items.iter().all(|item| &item["value"] == first), "{listed}");
    }
}

#[tokio::test]
async fn references_are_put_in_at_delivery_and_cycles_are_refused() {
    let (_server, api, secrets) = place().await;
    let key = api.get(&format!("{secrets}/submission-key")).await.ok();
    let set = async |name: &str, body| api.put(&format!("{secrets}/{name}"), &body).await;
    set(
        "HOST",
        json!({"tier": "visible", "value": "db.example.com"}),
    )
    .await
    .ok();
    set("PASSWORD", json!({"tier": "sensitive", "value": "pw$x"}))
        .await
        .ok();
    let url = "postgres://u:${PASSWORD}@${HOST}/$${HOST}";
    let item = set(
        "URL",
        json!({"tier": "sensitive", "value": url, "expand": true}),
    )
    .await
    .ok();
    assert_eq!(item["references"], json!(["HOST", "PASSWORD"]));
    set("LITERAL", json!({"tier": "visible", "value": "${GONE}"}))
        .await
        .ok();

    let refused = async |name: &str, body, said: &str| {
        let problem = set(name, body).await.problem(422, "unprocessable");
        assert!(detail(&problem).contains(said), "{problem}");
    };
    let circle = json!({"tier": "visible", "value": "${URL}", "expand": true});
    refused("HOST", circle, "HOST -> URL -> HOST").await;
    refused(
        "SELF",
        json!({"tier": "masked", "value": "${SELF}", "expand": true}),
        "SELF -> SELF",
    )
    .await;
    refused(
        "LOST",
        json!({"tier": "masked", "value": "${GONE}", "expand": true}),
        "no secret GONE",
    )
    .await;
    // What is sealed is declared.
    let sealed = seal(&key, "HOST", MASKED, "${URL}");
    let mut body = json!({"tier": "masked", "sealed": sealed, "expand": true});
    refused("HOST", body.clone(), "references: ").await;
    body["references"] = json!(["URL"]);
    refused("HOST", body, "HOST -> URL -> HOST").await;
    // Many that refer to each other at once, as an import does.
    let list = json!({"secrets": [
        {"name": "X", "tier": "visible", "value": "${Y}", "expand": true},
        {"name": "Y", "tier": "visible", "value": "${X}", "expand": true},
    ]});
    let problem = api.post(&format!("{secrets}/bulk"), &list).await;
    assert!(detail(&problem.problem(422, "unprocessable")).contains("X -> Y -> X"));
    // Turned on later, what it refers to is declared.
    let literal = format!("{secrets}/LITERAL");
    patch(&api, &literal, json!({"expand": true}))
        .await
        .problem(422, "unprocessable");
    let said = patch(
        &api,
        &literal,
        json!({"expand": true, "references": ["GONE"]}),
    )
    .await;
    assert!(detail(&said.problem(422, "unprocessable")).contains("GONE"));
    // Without it containers could not start.
    let problem = api
        .delete(&format!("{secrets}/HOST"))
        .await
        .problem(409, "conflict");
    assert!(detail(&problem).contains("URL"), "{problem}");

    let container = running(&api).await;
    let seen = sh(&api, &container, "printf '%s %s' \"$URL\" \"$LITERAL\"").await;
    assert_eq!(
        seen["stdout"],
        "postgres://u:pw$x@db.example.com/${HOST} ${GONE}"
    );
}
