//! The tools reach the project's folder: no path, no link and no search leads out of it.

use serde_json::{Value, json};

use super::{Desk, text, to_the_end};
use crate::support::upstream::{Reply, Turn, Upstream};

/// Around the project: files of another project and of the home, and links to them.
const TRAPS: &str = "
    mkdir -p ../other/deep src && echo TOPSECRET > ../other/secret.txt && echo TOPSECRET > ../other/deep/x.txt
    echo HOMESECRET > ~/home.txt && echo 'TOPSECRET inside is fine' | cut -c1-3 > src/plain.txt
    ln -s /etc/passwd passwd; ln -s ../other other; ln -s ../../home.txt home; ln -s ../other/secret.txt src/secret.txt
    ln -s ../other/new.txt dangling; ln -s . self; mkfifo pipe
";

#[tokio::test]
async fn no_tool_leads_out_of_the_project() {
    let write = |path: &str| ("write", json!({"path": path, "content": "PLANTED"}));
    let read = |path: &str| ("read", json!({"path": path}));
    let edit = |path: &str| {
        (
            "edit",
            json!({"path": path, "old_text": "SECRET", "new_text": "PLANTED"}),
        )
    };
    let refused: Vec<(&str, Value)> = vec![
        read("../other/secret.txt"),
        read("src/../../other/secret.txt"),
        read("/etc/passwd"),
        read("/home/dev/home.txt"),
        read("~/home.txt"),
        read("passwd"),
        read("other/secret.txt"),
        read("other/deep/x.txt"),
        read("home"),
        read("src/secret.txt"),
        read("self/src/secret.txt"),
        read("a\u{0}b"),
        read("pipe"),
        read(""),
        ("list", json!({"path": ".."})),
        ("list", json!({"path": "other"})),
        ("list", json!({"path": "/"})),
        ("search", json!({"query": "SECRET", "path": ".."})),
        ("search", json!({"query": "SECRET", "path": "other"})),
        ("search", json!({"query": "SECRET", "path": "/home/dev"})),
        write("../other/planted.txt"),
        write("/home/dev/planted.txt"),
        write("other/planted.txt"),
        write("src/secret.txt"),
        write("dangling"),
        write("."),
        edit("../other/secret.txt"),
        edit("other/secret.txt"),
        edit("home"),
        ("read", json!({"file": "src/plain.txt"})),
    ];
    let count = refused.len();
    // A search of the whole project is no way around: links are not followed, and globs do not climb.
    let searches = [
        ("search", json!({"query": "SECRET"})),
        ("search", json!({"query": "SECRET", "glob": "../**"})),
        ("search", json!({"query": "SECRET", "glob": "/home/dev/**"})),
    ];
    let turn = refused
        .into_iter()
        .chain(searches)
        .fold(Turn::default(), |turn, (name, input)| {
            turn.and_tool(name, input)
        });
    let desk = Desk::new(
        Upstream::start(move |call, _| match call.tool_results().is_empty() {
            true => Reply::Turn(turn.clone()),
            false => Turn::text("I stay inside.").into(),
        })
        .await,
    )
    .await;
    desk.sh(&format!("cd {} && {}", desk.folder, TRAPS.trim()))
        .await;
    let tree = "cd ~ && find projects home.txt | sort && cat projects/other/secret.txt home.txt";
    let before = desk.sh(tree).await;
    assert!(before.contains("TOPSECRET") && before.contains("projects/other/deep/x.txt"));

    let mut stream = desk.events("0").await;
    desk.say("Please, try.").await;
    let events = to_the_end(&mut stream).await;
    let done = events.last().unwrap();
    assert_eq!(
        (&done["stop_reason"], &done["files"]),
        (&json!("end_turn"), &json!([])),
        "{:?}",
        &events[events.len() - 2..]
    );
    let asked = desk.asked(0);
    let results = asked.tool_results();
    assert_eq!(results.len(), count + 3);
    for (index, (_, said, is_error)) in results.iter().enumerate() {
        assert!(*is_error || index >= count, "call {index} worked: {said}");
        assert!(said.len() > 10, "call {index} is refused without a word");
        for secret in ["TOPSECRET", "HOMESECRET", "root:x"] {
            assert!(!said.contains(secret), "call {index} shows {said}");
        }
    }
    for call in desk.upstream.calls() {
        let body = text(&call.raw);
        assert!(!body.contains("TOPSECRET") && !body.contains("root:x"));
    }
    assert_eq!(desk.sh(tree).await, before, "something was changed");
    desk.nothing_leaked().await;
}
