//! References between values: what would keep containers from starting is refused, however it comes about.

use serde_json::{Value, json};

use super::{MASKED, detail, patch, place, seal};
use crate::support::api::Api;

fn referring(value: &str) -> Value {
    json!({"tier": "visible", "value": value, "expand": true})
}

fn literal(value: &str) -> Value {
    json!({"tier": "visible", "value": value, "expand": false})
}

#[tokio::test]
async fn an_earlier_value_comes_back_with_what_it_refers_to() {
    let (_server, api, secrets) = place().await;
    let path = format!("{secrets}/OPENS");
    let back = format!("{path}/rollback");
    let first = json!({"version": 1});
    // Nobody looked at what this would refer to, because it was text.
    api.put(&path, &literal("to ${NOBODY}")).await.ok();
    api.put(&path, &referring("to nobody")).await.ok();
    let refused = api.post(&back, &first).await;
    let said = detail(&refused.problem(422, "unprocessable"));
    assert!(said.contains("there is no secret NOBODY"), "{said}");
    api.put(&format!("{secrets}/NOBODY"), &literal("x"))
        .await
        .ok();
    let item = api.post(&back, &first).await.ok();
    assert_eq!(item["references"], json!(["NOBODY"]));
    api.delete(&format!("{secrets}/NOBODY"))
        .await
        .problem(409, "conflict");
    // Off: it is text again, and refers to nothing.
    let item = patch(&api, &path, json!({"expand": false})).await.ok();
    assert_eq!(item["references"], json!([]));
    let item = patch(&api, &path, json!({"expand": true})).await.ok();
    assert_eq!(item["references"], json!(["NOBODY"]), "it was read then");

    // What a client sealed as text is known to the client alone.
    let path = format!("{secrets}/SEALED");
    let back = format!("{path}/rollback");
    let key = api.get(&format!("{secrets}/submission-key")).await.ok();
    let sealed = seal(&key, "SEALED", MASKED, "to ${WHO_KNOWS}");
    let body = json!({"tier": "masked", "sealed": sealed});
    api.put(&path, &body).await.ok();
    api.put(
        &path,
        &json!({"tier": "masked", "value": "v", "expand": true}),
    )
    .await
    .ok();
    let refused = api.post(&back, &first).await;
    let said = detail(&refused.problem(422, "unprocessable"));
    assert!(said.contains("was never said"), "{said}");
    patch(&api, &path, json!({"expand": false})).await.ok();
    api.post(&back, &first).await.ok();
    let asked = patch(&api, &path, json!({"expand": true})).await;
    let said = detail(&asked.problem(422, "unprocessable"));
    assert!(said.contains("Say which names"), "{said}");
}

/// How two requests at once ended, of which one at most may have done what it was asked for.
async fn at_once(one: impl Future<Output = u16>, other: impl Future<Output = u16>) -> [u16; 2] {
    let (one, other) = tokio::join!(one, other);
    [one, other]
}

async fn set(api: &Api, path: &str, body: &Value) -> u16 {
    api.put(path, body).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once_close_no_circle_and_leave_no_gap() {
    let (_server, api, secrets) = place().await;
    for round in 0..12 {
        let (a, b) = (format!("A{round}"), format!("B{round}"));
        for name in [&a, &b] {
            api.put(&format!("{secrets}/{name}"), &literal("x"))
                .await
                .ok();
        }
        let path = |name: &str| format!("{secrets}/{name}");
        let (to_a, to_b) = (
            referring(&format!("${{{a}}}")),
            referring(&format!("${{{b}}}")),
        );
        let (path_a, path_b) = (path(&a), path(&b));
        let ended = at_once(set(&api, &path_a, &to_b), set(&api, &path_b, &to_a)).await;
        assert!(ended.contains(&200), "{ended:?}");
        assert_ne!(ended, [200, 200], "round {round}: a circle");

        let (gone, stays) = (
            path(&format!("GONE{round}")),
            path(&format!("STAYS{round}")),
        );
        api.put(&gone, &literal("x")).await.ok();
        let to_gone = referring(&format!("${{GONE{round}}}"));
        let deleted = async { api.delete(&gone).await.status };
        let ended = at_once(deleted, set(&api, &stays, &to_gone)).await;
        assert_ne!(ended, [204, 200], "round {round}: a gap");
    }
}
