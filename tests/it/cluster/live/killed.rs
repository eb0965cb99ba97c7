//! A server that is killed while people work.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::api::Api;
use crate::support::installed::Installed;
use crate::support::processes;
use crate::support::terminal::Terminal;

/// A container keeps 32 terminals, and a person has one container.
const EACH: usize = 25;
/// Within this, each terminal shows new output again.
const LIMIT: Duration = Duration::from_secs(2);

/// Prints n1, n2, ... ten times a second, and starts no process for it.
pub const COUNT: &str =
    "exec 3<> <(:); i=0; while :; do i=$((i+1)); echo n$i; read -rt 0.1 -u 3; done\r";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn fifty_terminals_go_on_by_the_other_server() {
    let installed = Installed::given();
    let containers = tokio::join!(installed.container("owner"), installed.container("user"));
    let replicas = installed.replicas();
    assert_eq!(replicas.len(), 2, "{replicas:?}");
    let doomed = &replicas[0];

    let mut open = Vec::new();
    for (who, container) in [("owner", &containers.0), ("user", &containers.1)] {
        let (api, here) = (installed.api(who), installed.api_at(who, doomed));
        let terminals = format!("{}/terminals", container.path);
        for _ in 0..EACH {
            let size = json!({"cols": 80, "rows": 24});
            let made = api.post(&terminals, &size).await.expect(201).json();
            let path = format!("{terminals}/{}", made["id"].as_str().unwrap());
            let mut terminal = Terminal::connect(&here, &path, None).await;
            terminal.send(COUNT).await;
            open.push((api.clone(), path, terminal));
        }
    }
    let followed: Vec<_> = open
        .into_iter()
        .map(|(api, path, terminal)| tokio::spawn(follow(api, path, terminal)))
        .collect();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let killed = Instant::now();
    processes::signal(doomed.process("optidev serve"), Signal::KILL);

    let mut took = Vec::new();
    for task in followed {
        took.push(task.await.unwrap() - killed);
    }
    took.sort();
    let (half, longest) = (took[took.len() / 2], *took.last().unwrap());
    eprintln!(
        "{} terminals go on by the other server after {half:.0?} (half of them), {longest:.0?} (all)",
        took.len()
    );
    assert!(longest < LIMIT, "{took:?}");
}

/// Follows a terminal over the end of its server; answers when its next byte came. Checks that what it printed came whole.
async fn follow(api: Api, path: String, mut terminal: Terminal) -> Instant {
    while terminal.receive().await {}
    assert!(
        terminal.output.len() > 100,
        "{path} printed nothing before: {}",
        terminal.text()
    );
    let mut again = Terminal::resume(&api, &path, terminal.next, LIMIT * 5).await;
    let mut came = None;
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        assert!(again.receive().await, "{path}: cut off again");
        if !again.output.is_empty() {
            came.get_or_insert_with(Instant::now);
        }
    }
    assert!(terminal.gaps.is_empty() && again.gaps.is_empty());
    assert_eq!(again.first, terminal.next);
    counts(&[terminal.output, again.output].concat());
    api.delete(&path).await.ok();
    came.unwrap()
}

/// Checks that `output` of [`COUNT`] has each number once, in order; answers how many.
pub fn counts(output: &[u8]) -> usize {
    let text = String::from_utf8_lossy(output);
    // Whole lines only: the last may still be coming.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let numbers: Vec<usize> = whole
        .lines()
        // The shell draws before the first of them, in the same line.
        .filter_map(|line| {
            line.trim_end_matches('\r')
                .rsplit('\r')
                .next()?
                .strip_prefix('n')?
                .parse()
                .ok()
        })
        .collect();
    let wanted: Vec<usize> = (1..=numbers.len()).collect();
    assert_eq!(numbers, wanted);
    assert!(numbers.len() > 10, "{text}");
    numbers.len()
}

#[test]
fn a_number_that_is_missing_or_comes_twice_is_noticed() {
    let lines = |numbers: &[usize]| {
        let lines: Vec<String> = numbers
            .iter()
            .map(|number| format!("n{number}\r\n"))
            .collect();
        lines.concat().into_bytes()
    };
    let all: Vec<usize> = (1..=20).collect();
    assert_eq!(counts(&lines(&all)), 20);
    for wrong in [
        [&all[..7], &all[8..]].concat(),
        [&all[..8], &all[7..]].concat(),
    ] {
        assert!(std::panic::catch_unwind(|| counts(&lines(&wrong))).is_err());
    }
}
