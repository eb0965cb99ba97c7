//! What is done with the values.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeS, Serializable as _};
use serde_json::{Value, json};

use super::{Answers, Canaries, Place, digest, text_for};
use crate::assistant::Desk;
use crate::containers::wait_for;
use crate::identity::{Browser, enrol};
use crate::members::signed_in;

/// Each tier, set over the plain API; then errors that hold the value.
pub async fn secrets(desk: &Desk, canaries: &mut Canaries, answers: &mut Answers) {
    let secrets = format!("/workspaces/{}/secrets", desk.workspace);
    for (tier, may_be) in [
        ("visible", [Place::Answer, Place::Server].as_slice()),
        ("masked", &[]),
        ("sensitive", &[]),
    ] {
        for number in ["first", "second"] {
            let name = format!("{number} {tier}");
            let value = canaries.plant(&name, text_for(&name), may_be);
            let body = json!({"tier": tier, "value": value});
            let path = format!("{secrets}/{}", tier.to_uppercase());
            answers.note(&desk.api.put(&path, &body).await.expect(200).text());
        }
    }
    // Sent, and refused in one way or another: the answer must not repeat it.
    let refused = canaries.plant("refused", text_for("refused"), &[]);
    let path = format!("{secrets}/REFUSED");
    let quoted = serde_json::to_string(&refused).unwrap();
    let number = "9120481632648128256";
    canaries.plant("number", number, &[]);
    let long = format!("{refused}{}", "x".repeat(70_000));
    let huge = format!("{refused}{}", "x".repeat(9 << 20));
    for body in [
        format!("{{\"tier\": \"sensitive\", \"value\": {quoted}"),
        format!("{{\"tier\": \"sensitive\", \"value\": [{quoted}]}}"),
        format!("{{\"tier\": \"sensitive\", \"value\": {{\"a\": {quoted}}}}}"),
        format!("{{\"tier\": \"sensitive\", \"value\": {number}}}"),
        format!("{{\"tier\": \"sensitive\", \"value\": {quoted}, \"value\": {quoted}}}"),
        format!("{{\"tier\": \"none\", \"value\": {quoted}}}"),
        format!("{{\"value\": {quoted}, \"more\": 1, \"tier\": \"sensitive\"}}"),
        json!({"tier": "sensitive", "value": long}).to_string(),
        json!({"tier": "sensitive", "value": format!("{refused}\0")}).to_string(),
        json!({"tier": "sensitive", "value": huge}).to_string(),
    ] {
        let answer = desk.api.send("PUT", &path, |request| {
            request
                .header("content-type", "application/json")
                .body(body.clone())
        });
        let answer = answer.await;
        let start: String = body.chars().take(60).collect();
        assert!(
            (400..500).contains(&answer.status),
            "{start}: {}",
            answer.status
        );
        answers.note(&answer.text());
    }
    for path in [
        format!("{secrets}/NOT-A-NAME"),
        "/workspaces/ws_00000000000000000000000000/secrets/A".to_owned(),
        "/nowhere".to_owned(),
    ] {
        let body = json!({"tier": "sensitive", "value": refused});
        let answer = desk.api.put(&path, &body).await;
        assert!((400..500).contains(&answer.status), "{path}");
        answers.note(&answer.text());
    }
    let nobody = desk.server.anonymous();
    let body = json!({"tier": "sensitive", "value": refused});
    answers.note(&nobody.put(&path, &body).await.expect(401).text());
}

/// A value that the client sealed to the vault: no process that is searched ever had it.
pub async fn sealed(desk: &Desk, canaries: &mut Canaries, answers: &mut Answers) {
    let secrets = format!("/workspaces/{}/secrets", desk.workspace);
    let key = desk
        .api
        .get(&format!("{secrets}/submission-key"))
        .await
        .ok();
    let base64 = |name: &str| BASE64_STANDARD.decode(key[name].as_str().unwrap()).unwrap();
    let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&base64("public_key")).unwrap();
    let value = canaries.plant("sealed", text_for("sealed"), &[]);
    // The name, the purpose (a variable of containers) and the tier, each after its length.
    let mut data = base64("data_prefix");
    for field in [b"SEALED".as_slice(), &[1], &[3]] {
        data.extend((field.len() as u64).to_be_bytes());
        data.extend_from_slice(field);
    }
    let (enc, ciphertext) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        key["info"].as_str().unwrap().as_bytes(),
        value.as_bytes(),
        &data,
    )
    .unwrap();
    let body = |tier: &str| {
        json!({"tier": tier, "sealed": {
            "root": key["root"],
            "enc": BASE64_STANDARD.encode(enc.to_bytes()),
            "ciphertext": BASE64_STANDARD.encode(&ciphertext),
        }})
    };
    let path = format!("{secrets}/SEALED");
    let weaker = desk.api.put(&path, &body("visible")).await;
    assert!((400..500).contains(&weaker.status), "{}", weaker.text());
    answers.note(&weaker.text());
    let set = desk.api.put(&path, &body("sensitive")).await;
    answers.note(&set.expect(200).text());
}

/// What the operator gives the vault on the host.
pub async fn credential(desk: &Desk, canaries: &mut Canaries) {
    let value = canaries.plant("credential", "cnry-of-the-text-messages-81ac", &[]);
    let command = [
        "vault",
        "credential",
        "set",
        "sms",
        "--name",
        "default",
        "--value-stdin",
    ];
    let (status, said, error) = desk.server.cli(&command, &value).await;
    assert!(status.success(), "{said}{error}");
}

/// Reveals the masked value, which is the one answer that has it.
pub async fn reveal(desk: &Desk, canaries: &mut Canaries, answers: &mut Answers) {
    let mut browser = signed_in(&desk.server, "ada@example.com").await;
    let cookie = browser.cookie().to_owned();
    canaries.plant("cookie", cookie.split_once('=').unwrap().1, &[]);
    let secrets = format!("/workspaces/{}/secrets", desk.workspace);
    for (name, status) in [("MASKED", 200), ("SENSITIVE", 409)] {
        let (got, text) = browser
            .api("POST", &format!("{secrets}/{name}/reveal"), None)
            .await;
        if name == "MASKED" {
            assert_eq!(got, status, "{text}");
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["value"], text_for("second masked"));
        } else {
            assert!((400..500).contains(&got), "{got} {text}");
            answers.note(&text);
        }
    }
}

/// Started again with the values, which are inside then: told by their digests, because an output passes the server.
pub async fn delivery(desk: &Desk) {
    let (api, container) = (&desk.api, &desk.container);
    api.post(&format!("{container}/stop"), &json!({}))
        .await
        .ok();
    wait_for(api, container, "stopped").await;
    api.post(&format!("{container}/start"), &json!({}))
        .await
        .ok();
    wait_for(api, container, "running").await;
    for (variable, value) in [
        ("VISIBLE", "second visible"),
        ("MASKED", "second masked"),
        ("SENSITIVE", "second sensitive"),
        ("SEALED", "sealed"),
    ] {
        let script = format!("printf %s \"${variable}\" | sha256sum");
        let digest = digest(&text_for(value));
        assert!(desk.sh(&script).await.starts_with(&digest), "{variable}");
    }
}

/// Passwords, right and wrong ones, a second factor, an invitation by mail, a token.
pub async fn people(desk: &Desk, canaries: &mut Canaries, answers: &mut Answers) {
    let url = desk.server.url();
    let wrong = canaries.plant("wrong password", text_for("wrong password"), &[]);
    let fields = [("email", "ada@example.com"), ("password", wrong.as_str())];
    let (_, _, page) = Browser::new(&url).post("/sign-in", &fields).await;
    answers.note(&page);
    let place = format!("/workspaces/{}", desk.workspace);
    let invite = json!({"email": "new@example.com", "role": "user"});
    let made = desk
        .api
        .post(&format!("{place}/invitations"), &invite)
        .await;
    let made = made.expect(201).json();
    if let Some(link) = made["link"].as_str() {
        let link = link[link.find("/invitations/").unwrap()..].to_owned();
        let token = link.rsplit('/').next().unwrap().to_owned();
        canaries.plant("invitation", token, &[Place::Answer, Place::Server]);
        let password = canaries.plant("password", text_for("password"), &[]);
        let form = [("name", "New"), ("password", password.as_str())];
        let (status, _, page) = Browser::new(&url).post(&link, &form).await;
        assert_eq!(status, 303, "{page}");
        let form = [
            ("email", "new@example.com"),
            ("password", password.as_str()),
        ];
        let (status, _, page) = Browser::new(&url).post("/sign-in", &form).await;
        assert_eq!(status, 303, "{page}");
    }
    let mut browser = signed_in(&desk.server, "ada@example.com").await;
    let seed = enrol(&mut browser).await;
    canaries.plant("seed", seed, &[]);
    let token = crate::tokens::make(&mut browser, "/account/tokens", "CI", "projects", "30").await;
    canaries.plant("token", token, &[]);
    answers.note(&desk.api.get("/me").await.text());
}

/// Follows every link of the console, and asks every GET of the API whose place is known.
pub async fn walk(desk: &Desk, browser: &mut Browser, answers: &mut Answers) -> usize {
    let (mut open, mut seen) = (vec!["/".to_owned()], BTreeSet::new());
    while let Some(path) = open.pop() {
        if seen.len() > 300 || !seen.insert(path.clone()) {
            continue;
        }
        let (_, to, page) = browser.get(&path).await;
        let links = page.split("href=\"").skip(1);
        let links = links.filter_map(|rest| rest.split_once('"').map(|(link, _)| link));
        for link in links.chain([to.as_str()]) {
            let link = link.split('#').next().unwrap();
            if link.starts_with('/') && !link.starts_with("//") && !link.starts_with("/assets") {
                open.push(link.replace("&#38;", "&"));
            }
        }
        answers.note(&page);
    }
    let pages = seen.len();
    let document = desk.api.get("/openapi.json").await.ok();
    let last = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let organization = desk.api.organization().await;
    let known = [
        ("{workspace}", desk.workspace.clone()),
        ("{organization}", organization),
        ("{project}", desk.project.clone()),
        ("{container}", last(&desk.container)),
        ("{session}", last(&desk.session)),
        ("{name}", "SENSITIVE".to_owned()),
    ];
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let stream = ["/events", "/watch", "/export"]
            .iter()
            .any(|end| path.ends_with(end));
        let mut path = path.trim_start_matches("/api/v1").to_owned();
        for (name, id) in &known {
            path = path.replace(name, id);
        }
        if item.get("get").is_none() || stream || path.contains('{') {
            continue;
        }
        answers.note(&desk.api.get(&path).await.text());
        asked += 1;
    }
    pages + asked
}
