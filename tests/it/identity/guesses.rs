//! Guesses: who counts as one, and what the audit log says of them.

use super::{field, set_up};
use crate::support::api::http_client;
use crate::support::server::Server;

#[tokio::test]
async fn a_failed_confirmation_is_told_in_the_audit_log() {
    let server = Server::start().await;
    let mut browser = set_up(&server).await;
    let form = "/account/reauthenticate";
    let (_, _, page) = browser.get(form).await;
    let token = field(&page, "csrf_token");
    let wrong = [
        ("csrf_token", token.as_str()),
        ("password", "a wrong guess"),
        ("code", ""),
        ("next", "/account"),
    ];
    let (status, _, page) = browser.post(form, &wrong).await;
    assert!(page.contains("does not fit"), "{status}: {page}");
    let ada = server.api("ada@example.com", "all").await;
    let organization = ada.organization().await;
    let log = format!("/organizations/{organization}/audit?action=session.refused");
    let told = ada.get(&log).await.ok();
    let items = told["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{told}");
    assert_eq!(items[0]["detail"], "confirmation");
    assert_eq!(items[0]["actor"]["id"], crate::members::id(&ada).await);
}

#[tokio::test]
async fn guesses_from_all_addresses_of_one_customer_count_together() {
    let server = Server::builder()
        .set("server.trusted_proxies", "[\"127.0.0.0/8\"]")
        .start()
        .await;
    server.create_owner("ada@example.com").await;
    let http = http_client();
    let guess = async |from: String| {
        let body = "email=ada%40example.com&password=a+wrong+guess";
        let request = http
            .post(format!("{}/sign-in", server.url()))
            .header("accept", "text/html")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-forwarded-for", from)
            .body(body);
        request.send().await.unwrap().status().as_u16()
    };
    let mut answers = Vec::new();
    for number in 0..11 {
        answers.push(guess(format!("2001:db8:1:2:{number:x}::9")).await);
    }
    assert_eq!(answers[..10], [403; 10]);
    assert_eq!(answers[10], 429, "{answers:?}");
    assert_eq!(guess("2001:db8:1:3::9".to_owned()).await, 403);
}
