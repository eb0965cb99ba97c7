//! What outlives its request ends with the session, token, membership or role that it rests on, whatever it is and
//! however that goes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::assistant::{Desk, to_call, to_the_end};
use crate::containers::{member, owner, running};
use crate::preview;
use crate::support::api::Api;
use crate::support::server::Server;
use crate::support::terminal::Terminal;
use crate::support::upstream::{Turn, Upstream};

const SOON: Duration = Duration::from_secs(30);
/// By when it has to be over. Told, it takes milliseconds; found out by looking, a second.
const OVER: Duration = Duration::from_secs(2);

/// How long `open` goes on from now, which no one may be longer than [`OVER`].
async fn over(what: String, since: Instant, open: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(Duration::from_secs(20), open).await;
    let took = since.elapsed();
    assert!(
        ended.is_ok() && took < OVER,
        "{what} went on for {took:?} and more"
    );
}

async fn closed(mut terminal: Terminal) {
    while terminal.receive().await {}
}

/// Reads to the end; it must not look like one.
async fn broken(mut answer: reqwest::Response) {
    loop {
        match answer.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("an answer that was cut looks whole"),
            Err(_) => return,
        }
    }
}

#[tokio::test]
async fn everything_open_ends_with_a_role_a_removal_or_a_leave() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    for (number, change) in ["demote", "remove", "leave"].iter().enumerate() {
        let email = format!("bob{number}@example.com");
        let bob = member(&server, &ada, &email, "user").await;
        let path = running(&bob).await;
        preview::serve(&bob, &path, 3000).await;
        let page = preview::browser(&server, &bob, &path, 3000).await;

        let (_, mut screen) = Terminal::create(&bob, &path).await;
        screen.run("true", SOON).await;
        let mut watch = bob.events(&format!("{path}/watch?path=")).await;
        let mut socket = page.socket().await;
        let mut drip = page.send("/drip").await;
        assert_eq!(drip.chunk().await.unwrap().unwrap(), "drip");
        let mut events = page.send("/events").await;
        assert!(events.chunk().await.unwrap().is_some());
        let thinks = tokio::spawn({
            let page = page.clone();
            async move { page.send("/never").await.status().as_u16() }
        });
        // It has to be on its way when the right ends.
        tokio::time::sleep(Duration::from_millis(300)).await;

        let place = path.split_once("/containers").unwrap().0;
        let one = format!("{place}/members/{}", crate::members::id(&bob).await);
        let since = Instant::now();
        match *change {
            "demote" => {
                let viewer = json!({"role": "viewer"});
                ada.send("PATCH", &one, |request| request.json(&viewer))
                    .await
                    .expect(200);
            }
            "remove" => drop(ada.delete(&one).await.expect(204)),
            _ => drop(
                bob.post(&format!("{place}/leave"), &json!({}))
                    .await
                    .expect(204),
            ),
        }
        let what = |what: &str| format!("{change}: {what}");
        let watched = async { while watch.next(SOON).await.is_some() {} };
        let gone = async { while socket.receive().await {} };
        let answered = async { assert_eq!(thinks.await.unwrap(), 401) };
        let followed = async { while let Ok(Some(_)) = events.chunk().await {} };
        tokio::join!(
            over(what("the terminal"), since, closed(screen)),
            over(what("the watch"), since, watched),
            over(what("the WebSocket of a preview"), since, gone),
            over(what("an answer of a preview"), since, broken(drip)),
            over(what("an event stream of a preview"), since, followed),
            over(what("a request of a preview"), since, answered),
        );
        eprintln!("{change}: all was over after {:?}", since.elapsed());
    }
}

/// The id of the one token that its owner has so far.
async fn only_token(api: &Api) -> String {
    let listed = api.get("/tokens").await.ok();
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{listed}");
    items[0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_turn_of_the_assistant_ends_with_its_token_and_not_with_its_page() {
    let slow = Turn::text(&"on and on ".repeat(400)).slowly(Duration::from_millis(20));
    let desk = Desk::with_turns(vec![
        Turn::tool("run", json!({"command": "touch ran"})),
        Turn::text("Done."),
        slow,
    ])
    .await;
    // The page goes away, the turn goes on.
    let mut stream = desk.events("0").await;
    desk.say("Please, touch.").await;
    let (call, _) = to_call(&mut stream, "waiting").await;
    drop(stream);
    desk.decide(&call, "allow").await.expect(202);
    let mut stream = desk.events("0").await;
    let events = to_the_end(&mut stream).await;
    assert_eq!(events.last().unwrap()["stop_reason"], "end_turn");
    assert_eq!(desk.read("ran").await.as_deref(), Some(""));

    let last = events.len();
    desk.say("Please, go on and on.").await;
    stream
        .until(SOON, |event| event.json()["type"] == "text")
        .await;
    drop(stream);
    let id = only_token(&desk.api).await;
    let again = desk.server.api("ada@example.com", "all").await;
    let since = Instant::now();
    again.delete(&format!("/tokens/{id}")).await.expect(204);
    // Another token of the same person sees how it ended.
    let mut stream = again
        .events(&format!("{}/events?after=0", desk.session))
        .await;
    let mut seen = Vec::new();
    while seen.len() <= last
        || seen
            .last()
            .is_none_or(|event: &Value| event["type"] != "done")
    {
        seen.push(stream.next(SOON).await.unwrap().json());
    }
    assert!(since.elapsed() < 2 * OVER, "{:?}", since.elapsed());
    assert_eq!(seen.last().unwrap()["stop_reason"], "stopped");
    let told = seen[seen.len() - 2]["message"].as_str().unwrap();
    assert!(told.contains("has ended"), "{told}");
}

#[tokio::test]
async fn a_stream_of_the_gateway_breaks_off_with_its_token() {
    let slow = Turn::text(&"on and on ".repeat(400)).slowly(Duration::from_millis(20));
    let upstream = Upstream::with_turns(vec![slow]).await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, upstream.key()).unwrap();
    let server = Server::builder()
        .set("ai.anthropic_base_url", upstream.url())
        .set("ai.anthropic_api_key_file", key.to_str().unwrap())
        .start()
        .await;
    let ada = owner(&server).await;
    let question = json!({"model": "m", "max_tokens": 9, "stream": true,
        "messages": [{"role": "user", "content": "Hi"}]});
    let asked = ada
        .request(reqwest::Method::POST, "//ai/v1/messages")
        .header("anthropic-version", "2023-06-01")
        .json(&question);
    let mut answer = asked.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.chunk().await.unwrap().is_some());
    let id = only_token(&ada).await;
    let other = server.api("ada@example.com", "all").await;
    let since = Instant::now();
    other.delete(&format!("/tokens/{id}")).await.expect(204);
    over(
        "the stream of the gateway".to_owned(),
        since,
        broken(answer),
    )
    .await;
}

#[tokio::test]
async fn an_upload_that_outlives_its_token_makes_no_project() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let projects = format!("/workspaces/{}/projects", ada.workspace().await);
    let id = only_token(&ada).await;
    let other = server.api("ada@example.com", "all").await;
    let (send, receive) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(4);
    let pieces = futures_util::stream::unfold(receive, |mut receive| async move {
        Some((receive.recv().await?, receive))
    });
    let upload = ada
        .request(
            reqwest::Method::POST,
            &format!("{projects}/import?name=late"),
        )
        .header("content-type", "application/octet-stream")
        .body(reqwest::Body::wrap_stream(pieces));
    let upload = tokio::spawn(async move { upload.send().await.unwrap().status().as_u16() });
    let archive = crate::projects::tar_gz(&[("package.json", tar::EntryType::Regular, "", b"{}")]);
    let (first, rest) = archive.split_at(archive.len() / 2);
    send.send(Ok(first.to_vec())).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    other.delete(&format!("/tokens/{id}")).await.expect(204);
    send.send(Ok(rest.to_vec())).await.unwrap();
    drop(send);
    assert_eq!(upload.await.unwrap(), 401);
    assert_eq!(other.get(&projects).await.ok()["items"], json!([]));
    let incoming = server.data_dir().join("objects/incoming");
    assert_eq!(std::fs::read_dir(incoming).unwrap().count(), 0);
}
