//! From the request to the first byte of a terminal, in turns with a bare `kubectl run` of the same image.

use std::time::{Duration, Instant};

use super::super::report::{Better, Measurement};
use super::super::support::terminal::Terminal;
use super::super::{Container, Installed, Unguarded, run_bare};

const ROUNDS: usize = 11;
const LIMIT: Duration = Duration::from_secs(60);
/// How often a program would look that cannot follow events.
const POLL: Duration = Duration::from_millis(20);

/// `k8s_start_added`: of a container that was stopped and keeps its volume. `k8s_start_new_added`: of one that nobody had before,
/// namespace, policies, quota and volume included. Both in ms over the bare pod, until that is ready.
pub async fn measure(installed: &Installed, container: &Container) -> Vec<Measurement> {
    let bare = Unguarded::new(installed);
    let (mut again, mut new, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    let (workspace, people) = installed.new_workspace("bench", ROUNDS + 1);
    // The first round warms up and does not count.
    for (round, person) in people.iter().enumerate() {
        let name = format!("bare-{round}");
        let begun = Instant::now();
        run_bare(&bare, &name, &["sleep", "1000"]);
        let kubectl = ms(begun);
        bare.kubectl(&["delete", "pod", &name, "--grace-period=0", "--force"], "");

        container.stop().await;
        let begun = Instant::now();
        container.post("start").await.expect(202);
        terminal(container, begun).await;
        let stopped = ms(begun);

        let begun = Instant::now();
        let first = Container::asked_for(person, &workspace).await;
        terminal(&first, begun).await;
        let never_there = ms(begun);
        first.stop().await;
        first.remove().await;
        eprintln!("bare {kubectl:.0} ms, stopped {stopped:.0} ms, new {never_there:.0} ms");
        if round > 0 {
            plain.push(kubectl);
            again.push(stopped - kubectl);
            new.push(never_there - kubectl);
        }
    }
    vec![
        Measurement::new("k8s_start_added", "ms", Better::Lower, again)
            .against("kubectl run", plain.clone())
            .below(1000.0),
        Measurement::new("k8s_start_new_added", "ms", Better::Lower, new)
            .against("kubectl run", plain)
            .below(1000.0),
    ]
}

async fn terminal(container: &Container, begun: Instant) {
    while container.get().await["state"] != "running" {
        assert!(begun.elapsed() < LIMIT, "the container does not start");
        tokio::time::sleep(POLL).await;
    }
    // It may be said to run a moment before the way to it is known.
    while container.exec(&["/bin/true"], 10_000).await.status == 409 {
        assert!(begun.elapsed() < LIMIT, "the container does not answer");
        tokio::time::sleep(POLL).await;
    }
    let (_, mut terminal) = Terminal::create(&container.api, &container.path).await;
    while terminal.output.is_empty() {
        assert!(
            terminal.receive().await && begun.elapsed() < LIMIT,
            "the terminal stays empty"
        );
    }
}

fn ms(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}
