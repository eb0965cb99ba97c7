//! The pages of secrets without script: what each form does, and who sees which.

use serde_json::{Value, json};

use crate::containers::{member, owner};
use crate::identity::{Browser, field};
use crate::members::{signed_in, submit};
use crate::support::api::Api;
use crate::support::server::{PASSWORD, Server};

/// A server with Ada, a browser of hers, and the path of her workspace's secrets.
async fn place() -> (Server, Api, Browser, String) {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let browser = signed_in(&server, "ada@example.com").await;
    let secrets = format!("/workspaces/{}/secrets", ada.workspace().await);
    (server, ada, browser, secrets)
}

async fn item(api: &Api, list: &str, name: &str) -> Value {
    let listed = api.get(list).await.ok();
    let items = listed["items"].as_array().unwrap();
    let found = items.iter().find(|item| item["name"] == name);
    found.unwrap_or_else(|| panic!("{name}: {listed}")).clone()
}

/// The part of a page from the tag with this mark to the next one's.
fn part<'p>(page: &'p str, mark: &str, next: &str) -> &'p str {
    let start = page.find(mark);
    let start = start.unwrap_or_else(|| panic!("no {mark} in {page}"));
    let rest = &page[start + mark.len()..];
    &rest[..rest.find(next).unwrap_or(rest.len())]
}

/// The states of an import's rows, by name.
fn states(page: &str) -> Vec<(String, String)> {
    let rows = page.split("data-test=\"import-row\"").skip(1);
    rows.map(|row| {
        let text = |attribute: &str| part(row, attribute, "\"").to_owned();
        (text("data-name=\""), text("data-state=\""))
    })
    .collect()
}

#[tokio::test]
async fn forms_of_a_secret_do_what_they_are_for() {
    let (_server, ada, mut browser, secrets) = place().await;
    let page = format!("{secrets}/TOKEN");
    let form = [
        ("name", "TOKEN"),
        ("tier", "visible"),
        ("value", "canary-one"),
        ("description", "For mail"),
        ("expires", "2090-05-01"),
    ];
    let (status, to, text) = submit(&mut browser, &secrets, &secrets, &form).await;
    assert_eq!((status, to.as_str()), (303, secrets.as_str()), "{text}");
    let made = item(&ada, &secrets, "TOKEN").await;
    assert_eq!(
        (&made["value"], &made["expires_at_ms"]),
        (&json!("canary-one"), &json!(3_797_366_399_999_i64))
    );
    // Who adds does not mean to replace.
    let (status, _, text) = submit(&mut browser, &secrets, &secrets, &form).await;
    assert_eq!(status, 422);
    assert!(text.contains("There is a secret TOKEN here already"));

    let form = [("name", "TOKEN"), ("tier", "visible"), ("value", "two")];
    let (status, to, text) = submit(&mut browser, &page, &page, &form).await;
    assert_eq!((status, to.as_str()), (303, page.as_str()), "{text}");
    let shown = browser.get(&page).await.2;
    assert!(part(&shown, "data-test=\"secret-value\">", "<") == "two");
    assert_eq!(
        part(&shown, "secret-good-until\">", "</dd>"),
        "<span class=\"faint\">Not known</span>"
    );
    assert!(shown.contains("data-version=\"2\"") && shown.contains("For mail"));
    let back = format!("{page}/rollback");
    submit(&mut browser, &page, &back, &[("version", "1")]).await;
    let now = item(&ada, &secrets, "TOKEN").await;
    assert_eq!(
        (&now["value"], &now["version"]),
        (&json!("canary-one"), &json!(3))
    );
    let (status, _, text) = submit(&mut browser, &page, &back, &[("version", "9")]).await;
    assert_eq!(status, 422);
    assert!(
        text.contains("has no version 9 before the current one"),
        "{text}"
    );

    let change = format!("{page}/change");
    for (form, field, now) in [
        (
            &[("description", "For post")][..],
            "description",
            json!("For post"),
        ),
        (
            &[("expires", "2090-05-02")],
            "expires_at_ms",
            json!(3_797_452_799_999_i64),
        ),
        (&[("expires", "")], "expires_at_ms", json!(null)),
        (&[("tier", "sensitive")], "tier", json!("sensitive")),
    ] {
        let (status, to, text) = submit(&mut browser, &page, &change, form).await;
        assert_eq!((status, to.as_str()), (303, page.as_str()), "{text}");
        assert_eq!(item(&ada, &secrets, "TOKEN").await[field], now);
    }
    for (form, said) in [
        (
            ("expires", "2000-01-01"),
            "is not a day of the next hundred years",
        ),
        (
            ("expires", "tomorrow"),
            "is not a day of the next hundred years",
        ),
        (("tier", "masked"), "moves to a stricter tier only"),
        (("tier", "weak"), "is not a tier"),
    ] {
        let (status, _, text) = submit(&mut browser, &page, &change, &[form]).await;
        assert_eq!(status, 422, "{form:?}");
        assert!(text.contains(said), "{form:?}: {text}");
    }
    let shown = browser.get(&page).await.2;
    assert!(!shown.contains("canary-one") && !shown.contains("secret-reveal"));
    assert!(!shown.contains("secret-stricter\""), "nothing is stricter");

    let delete = format!("{page}/delete");
    let (status, to, _) = submit(&mut browser, &page, &delete, &[]).await;
    assert_eq!((status, to.as_str()), (303, secrets.as_str()));
    assert_eq!(browser.get(&page).await.0, 404);
    // A value that comes too late does not make it again.
    let form = [("tier", "visible"), ("value", "late")];
    assert_eq!(submit(&mut browser, &secrets, &page, &form).await.0, 404);
}

#[tokio::test]
async fn references_are_put_in_and_left_out_by_forms() {
    let (_server, ada, mut browser, secrets) = place().await;
    let add = async |browser: &mut Browser, form: &[(&str, &str)]| {
        submit(browser, &secrets, &secrets, form).await
    };
    let form = [("name", "USER_NAME"), ("tier", "visible"), ("value", "ada")];
    add(&mut browser, &form).await;
    let form = [
        ("name", "URL"),
        ("tier", "masked"),
        ("value", "//${USER_NAME}@db"),
        ("expand", "true"),
    ];
    assert_eq!(add(&mut browser, &form).await.0, 303);
    let page = format!("{secrets}/URL");
    let shown = browser.get(&page).await.2;
    let names = part(&shown, "data-test=\"secret-references\">", "</dd>");
    assert!(names.contains(&format!("{secrets}/USER_NAME")), "{names}");
    let change = format!("{page}/change");
    submit(&mut browser, &page, &change, &[("expand", "false")]).await;
    assert_eq!(item(&ada, &secrets, "URL").await["expand"], false);
    let on = [("expand", "true"), ("references", "NOWHERE")];
    let (status, _, text) = submit(&mut browser, &page, &change, &on).await;
    assert_eq!(status, 422);
    assert!(text.contains("there is no secret NOWHERE") && text.contains("value=\"NOWHERE\""));
    let on = [("expand", "true"), ("references", "USER_NAME")];
    submit(&mut browser, &page, &change, &on).await;
    let now = item(&ada, &secrets, "URL").await;
    assert_eq!(now["references"], json!(["USER_NAME"]));
    // What others refer to stays, and the page says why.
    let gone = format!("{secrets}/USER_NAME");
    let delete = format!("{gone}/delete");
    let (status, _, text) = submit(&mut browser, &gone, &delete, &[]).await;
    assert_eq!(status, 422);
    assert!(text.contains("is referred to by URL"), "{text}");
}

#[tokio::test]
async fn a_file_is_looked_at_and_then_imported_whole() {
    let (_server, ada, mut browser, secrets) = place().await;
    for (name, tier, value) in [
        ("SAME", "visible", "1"),
        ("OTHER", "visible", "1"),
        ("HIDDEN", "sensitive", "1"),
    ] {
        let body = json!({"tier": tier, "value": value});
        ada.put(&format!("{secrets}/{name}"), &body).await.ok();
    }
    let page = format!("{secrets}/import");
    let many = "A=1\n".repeat(1_001);
    let (status, said) = {
        let token = field(&browser.get(&page).await.2, "csrf_token");
        let upload = [("csrf_token", token.as_str()), ("text", many.as_str())];
        let (status, _, said) = browser.post_multipart(&page, &upload).await;
        (status, said)
    };
    assert!(
        status == 422 && said.contains("It has 1001 entries"),
        "{status}"
    );
    let text = "SAME=1\nOTHER=<b>2</b>\nHIDDEN=3\nNEW=4\nSECOND=\"5 &\n6\"\nPATH=7\n</textarea><script>=8\nrubbish\n";
    let (_, _, form) = browser.get(&page).await;
    let token = field(&form, "csrf_token");
    let upload = [("csrf_token", token.as_str()), ("text", text)];
    let (status, _, shown) = browser.post_multipart(&page, &upload).await;
    assert_eq!(status, 200, "{shown}");
    let named = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    assert_eq!(
        states(&shown),
        [
            named("SAME", "unchanged"),
            named("OTHER", "changed"),
            named("HIDDEN", "new_version"),
            named("NEW", "added"),
            named("SECOND", "added"),
            named("PATH", "invalid"),
            named("&#60;/textarea&#62;&#60;script&#62;", "invalid"),
            named("", "invalid"),
        ]
    );
    assert!(!shown.contains("<b>2") && !shown.contains("</textarea><script"));
    assert!(
        shown.contains("<td class=\"small muted short\">9</td>"),
        "the line of rubbish"
    );
    // Nothing was set by looking.
    assert_eq!(
        ada.get(&secrets).await.ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        3
    );

    let confirm = format!("{page}/confirm");
    let mut all = vec![
        ("csrf_token", token.as_str()),
        ("text", text),
        ("tier", "sensitive"),
    ];
    all.extend(["OTHER", "HIDDEN", "NEW", "SECOND", "PATH"].map(|name| ("take", name)));
    all.push(("tier.SECOND", "visible"));
    // One tier that is none, and nothing is set.
    let mut wrong = all.clone();
    wrong.push(("tier.NEW", "weak"));
    let (status, _, said) = browser.post(&confirm, &wrong).await;
    assert_eq!(status, 422);
    assert!(said.contains("is not a tier"), "{said}");
    assert_eq!(item(&ada, &secrets, "OTHER").await["version"], 1);
    let (status, to, said) = browser.post(&confirm, &all).await;
    assert_eq!(
        (status.as_u16(), to.as_str()),
        (303, secrets.as_str()),
        "{said}"
    );
    let listed = ada.get(&secrets).await.ok();
    let listed = listed["items"].as_array().unwrap().iter();
    let now: Vec<_> = listed
        .map(|item| json!([item["name"], item["tier"], item["value"], item["version"]]))
        .collect();
    assert_eq!(
        json!(now),
        json!([
            ["HIDDEN", "sensitive", null, 2],
            ["NEW", "sensitive", null, 1],
            ["OTHER", "visible", "<b>2</b>", 2],
            ["SAME", "visible", "1", 1],
            ["SECOND", "visible", "5 &\n6", 1],
        ])
    );
    let (status, _, said) = browser.post(&confirm, &all[..3]).await;
    assert_eq!(status, 422);
    assert!(said.contains("Nothing is chosen"), "{said}");
    let empty = [("csrf_token", token.as_str()), ("text", " \n")];
    let (status, _, said) = browser.post_multipart(&page, &empty).await;
    assert_eq!(status, 422);
    assert!(said.contains("Choose a file, or paste its text."), "{said}");
}

#[tokio::test]
async fn an_export_says_what_it_leaves_out() {
    let (server, ada, mut browser, secrets) = place().await;
    for (name, tier) in [
        ("SEEN", "visible"),
        ("HALF", "masked"),
        ("NEVER", "sensitive"),
    ] {
        let body = json!({"tier": tier, "value": format!("canary-{tier}")});
        ada.put(&format!("{secrets}/{name}"), &body).await.ok();
    }
    let page = format!("{secrets}/export");
    let shown = browser.get(&page).await.2;
    assert!(part(&shown, "export-sensitive\">", "</p>").contains("NEVER"));
    assert!(!shown.contains("canary"));
    let (status, _, file) = submit(&mut browser, &page, &page, &[]).await;
    assert_eq!(status, 200);
    assert!(file.starts_with("# HALF is masked") && file.contains("SEEN=canary-visible\n"));
    assert!(
        file.contains("# NEVER is sensitive") && !file.contains("canary-masked"),
        "{file}"
    );
    let (_, _, file) = submit(&mut browser, &page, &page, &[("with", "masked")]).await;
    assert!(
        file.contains("HALF=canary-masked\n") && !file.contains("canary-sensitive"),
        "{file}"
    );

    // Who signed in a while ago confirms the password for masked ones, and comes back to the scope's own page.
    let own = format!("{page}?scope=own");
    server
        .execute("UPDATE login_session SET authenticated_at_ms = 1")
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(submit(&mut browser, &page, &page, &[]).await.0, 200);
    let (status, to, _) = submit(&mut browser, &own, &own, &[("with", "masked")]).await;
    assert_eq!(status, 303);
    let form = [("password", PASSWORD), ("next", own.as_str())];
    assert_eq!(field(&browser.get(&to).await.2, "next"), own);
    let again = "/account/reauthenticate";
    let (status, to, text) = submit(&mut browser, &to, again, &form).await;
    assert_eq!((status, to.as_str()), (303, own.as_str()), "{text}");
    let (status, ..) = submit(&mut browser, &own, &own, &[("with", "masked")]).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn each_scope_has_its_page_and_says_what_stands_in_whose_place() {
    let (server, ada, mut browser, secrets) = place().await;
    let workspace = ada.workspace().await;
    let project = json!({"name": "<i>Shop</i>", "source": {"kind": "empty"}});
    let made = ada
        .post(&format!("/workspaces/{workspace}/projects"), &project)
        .await;
    let project = made.expect(201).json()["id"].as_str().unwrap().to_owned();
    let of_project = format!("{secrets}?scope=project&project={project}");
    let own = format!("{secrets}?scope=own");
    for (list, value) in [(&secrets, "all"), (&of_project, "shop"), (&own, "mine")] {
        let form = [("name", "TOKEN"), ("tier", "visible"), ("value", value)];
        let (status, to, text) = submit(&mut browser, list, list, &form).await;
        assert_eq!((status, to.as_str()), (303, list.as_str()), "{text}");
    }
    for (list, value, notes) in [
        (
            &secrets,
            "all",
            &[
                "Another one in project &#60;i&#62;Shop&#60;/i&#62;",
                "Your container gets your own instead",
            ][..],
        ),
        (
            &of_project,
            "shop",
            &[
                "In place of the workspace&#39;s",
                "Your container gets your own instead",
            ],
        ),
        (
            &own,
            "mine",
            &[
                "In place of the workspace&#39;s",
                "In place of the one of project &#60;i&#62;Shop",
            ],
        ),
    ] {
        let (status, _, page) = browser.get(list).await;
        assert_eq!(status, 200);
        assert_eq!(part(&page, "data-test=\"secret-value\">", "<"), value);
        assert_eq!(
            page.matches("data-test=\"secret-note\"").count(),
            notes.len()
        );
        for note in notes {
            assert!(page.contains(note), "{list}: {note}: {page}");
        }
        assert!(!page.contains("<i>Shop"), "a project's name is text");
        let one = list.replace("/secrets", "/secrets/TOKEN");
        let page = browser.get(&one).await.2;
        assert_eq!(part(&page, "data-test=\"secret-value\">", "<"), value);
    }
    for list in [&of_project, &own] {
        let one = list.replace("/secrets", "/secrets/TOKEN");
        let delete = list.replace("/secrets", "/secrets/TOKEN/delete");
        let (status, to, _) = submit(&mut browser, &one, &delete, &[]).await;
        assert_eq!((status, to.as_str()), (303, list.as_str()));
    }
    assert_eq!(item(&ada, &secrets, "TOKEN").await["value"], "all");
    // A project of somewhere else is no scope here.
    let foreign = of_project.replace(&project[..10], "prj_01h455");
    assert_eq!(browser.get(&foreign).await.0, 404);

    // A user has no forms but for their own, a viewer none at all.
    member(&server, &ada, "bob@example.com", "user").await;
    member(&server, &ada, "vic@example.com", "viewer").await;
    let mut bob = signed_in(&server, "bob@example.com").await;
    let mut vic = signed_in(&server, "vic@example.com").await;
    let one = format!("{secrets}/TOKEN");
    for page in [&secrets, &of_project, &one] {
        for browser in [&mut bob, &mut vic] {
            let (status, _, shown) = browser.get(page).await;
            assert_eq!(status, 200);
            let main = part(&shown, "<main", "</main>");
            assert!(!main.contains("<form"), "{page}: {main}");
        }
    }
    assert!(bob.get(&own).await.2.contains("data-test=\"secret-add\""));
    let (_, _, shown) = vic.get(&own).await;
    assert!(!part(&shown, "<main", "</main>").contains("<form"));
    let import = own.replace("/secrets", "/secrets/import");
    assert_eq!(bob.get(&import).await.0, 200);
    assert_eq!(vic.get(&import).await.0, 403);
}

#[tokio::test]
async fn what_ends_is_at_the_top_of_the_list() {
    let (_server, ada, mut browser, secrets) = place().await;
    let day = 24 * 60 * 60 * 1_000;
    let now = crate::secrets::now_ms();
    for (name, days) in [("SOON", 3), ("LATER", 30)] {
        let body = json!({"tier": "masked", "value": "v", "expires_at_ms": now + days * day});
        ada.put(&format!("{secrets}/{name}"), &body).await.ok();
    }
    let page = browser.get(&secrets).await.2;
    let ending = part(&page, "data-test=\"secrets-ending\"", "</section>");
    assert!(
        ending.contains("SOON") && !ending.contains("LATER"),
        "{ending}"
    );
    assert_eq!(page.matches("data-test=\"secret-expires-soon\"").count(), 1);
}

#[tokio::test]
async fn names_and_descriptions_are_text() {
    let (_server, ada, mut browser, secrets) = place().await;
    let hostile = "\"><script>alert(1)</script>";
    let form = [
        ("name", hostile),
        ("tier", "visible"),
        ("value", hostile),
        ("description", hostile),
    ];
    let (status, _, page) = submit(&mut browser, &secrets, &secrets, &form).await;
    assert_eq!(status, 422);
    assert!(!page.contains("<script>alert") && page.contains("&#60;script&#62;alert"));
    let body = json!({"tier": "visible", "value": hostile, "description": hostile});
    ada.put(&format!("{secrets}/FINE"), &body).await.ok();
    for page in [secrets.clone(), format!("{secrets}/FINE")] {
        let (_, _, page) = browser.get(&page).await;
        assert!(!page.contains("<script>alert") && page.contains("&#60;script&#62;alert"));
    }
    let strange = format!("{secrets}/%22%3E%3Cscript%3E");
    let (status, _, page) = browser.get(&strange).await;
    assert_eq!(status, 404);
    assert!(!page.contains("\"><script>"));
    let form = [("tier", "visible"), ("value", "v")];
    assert_eq!(submit(&mut browser, &secrets, &strange, &form).await.0, 404);
}
