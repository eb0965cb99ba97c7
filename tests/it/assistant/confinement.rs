//! The tools reach the project's folder: no path, no link and no search leads out of it.

use serde_json::{Value, json};

use super::{Desk, text, to_call, to_the_end};
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

#[tokio::test]
async fn tools_cope_with_what_they_find() {
    let read = |path: &str| ("read", json!({"path": path}));
    let desk = Desk::with_turns(vec![
        [
            read("binary"),
            read("large.txt"),
            read("wide.txt"),
            read("m\u{e4}in file.txt"),
            ("list", json!({"path": "many"})),
            ("search", json!({"query": "needle"})),
            (
                "edit",
                json!({"path": "run.sh", "old_text": "echo one", "new_text": "echo two"}),
            ),
            (
                "edit",
                json!({"path": "dos.txt", "old_text": "a\nb", "new_text": "c\nd"}),
            ),
            ("write", json!({"path": "empty", "content": ""})),
        ]
        .into_iter()
        .fold(Turn::default(), |turn, (name, input)| {
            turn.and_tool(name, input)
        }),
        Turn::tool(
            "run",
            json!({"command": "head -c 3000000 /dev/zero | tr '\\0' x; echo END; exit 3"}),
        ),
        Turn::text("Seen."),
    ])
    .await;
    let things = "printf 'a\\000\\377' > binary; head -c 5000000 /dev/zero | tr '\\0' y > large.txt
        head -c 2000000 /dev/zero | tr '\\0' z > wide.txt; echo umlaut > 'm\u{e4}in file.txt'; mkdir many
        (cd many && seq 1 1200 | xargs touch); seq 1 5000 | sed 's/$/ needle/' > needles
        printf '#!/bin/sh\\necho one\\n' > run.sh; chmod 750 run.sh; printf 'a\\r\\nb\\r\\n' > dos.txt";
    desk.sh(&format!("cd {} && {things}", desk.folder)).await;
    let mut stream = desk.events("0").await;
    let turn = desk.say("Please, look at all of it.").await;
    let (call, _) = to_call(&mut stream, "waiting").await;
    desk.decide(&call, "allow").await.expect(202);
    to_the_end(&mut stream).await;

    let results = desk.asked(1).tool_results();
    let errors: Vec<bool> = results.iter().map(|result| result.2).collect();
    assert_eq!(
        errors,
        [true, true, false, false, false, false, false, false, false],
        "{results:?}"
    );
    let said = |index: usize| results[index].1.as_str();
    assert!(said(0).contains("not a text file"), "{}", said(0));
    assert!(said(1).contains("larger than 4194304 bytes"), "{}", said(1));
    assert_eq!(said(3), "umlaut\n");
    assert!(said(4).contains("more in this folder"), "{}", said(4));
    assert!(said(5).contains("search for something narrower"));
    assert!(results.iter().all(|result| result.1.len() < 100_000));
    let ran = &desk.asked(0).tool_results()[0];
    assert!(ran.2 && ran.1.len() < 31_000, "{}", ran.1.len());
    assert!(ran.1.ends_with("(exit code 3)"), "{}", ran.1);

    let modes = format!("cd {} && stat -c %a run.sh && ./run.sh", desk.folder);
    assert_eq!(desk.sh(&modes).await, "750\ntwo\n");
    assert_eq!(desk.read("dos.txt").await.as_deref(), Some("c\r\nd\r\n"));
    assert_eq!(desk.read("empty").await.as_deref(), Some(""));
    desk.undo(&turn).await.expect(200);
    assert_eq!(desk.sh(&modes).await, "750\none\n");
    assert_eq!(desk.read("dos.txt").await.as_deref(), Some("a\r\nb\r\n"));
    assert_eq!(desk.read("empty").await, None);
    desk.nothing_leaked().await;
}
