//! The corpus: every way around the allow-list that we know of, as the bytes that a program in a container would send.
//!
//! Each family holds what is refused and, in the same form, what passes: so a refusal is the rule's and not an
//! accident's. All names lead to a place that listens, unlisted ones too, so that a rule that fails shows as a
//! connection. For each step the answer, the connections made, the look-ups, the kept decision and the line of the log
//! are compared.

mod bench;
mod families;
mod step;

use bench::Bench;
use families::{ALSO, allow, families, turns};
use step::{End, Step, arrived, check, connect, get, recorded};

#[tokio::test]
async fn nothing_in_the_corpus_gets_around_the_list() {
    let bench = Bench::new().await;
    for family in families(&bench) {
        let name = family.name;
        let passes = |step: &Step| matches!(step.end, End::Passes(..));
        let (any, all) = (
            family.steps.iter().any(passes),
            family.steps.iter().all(passes),
        );
        assert!(
            any && !all,
            "{name}: something has to pass, and something to be refused"
        );
        let egress = bench.egress(&allow(bench.port), family.also_allow, turns(bench.port));
        for step in &family.steps {
            // The hello of TLS says nothing to a reader.
            let line = step.bytes.split(|&byte| byte == b'\r').next().unwrap();
            let name = format!("{name}: {}", line.escape_ascii());
            check(&name, step, &bench.send(&egress, &step.bytes).await);
        }
    }
}

#[tokio::test]
async fn a_redirect_leads_no_further_than_the_list() {
    let bench = Bench::new().await;
    let egress = bench.egress(&allow(bench.port), ALSO, turns(bench.port));
    for (to, reason) in [
        ("http://a.wild.example/landed", None),
        ("http://evil.example/landed", Some("not_listed")),
        ("http://listed.example:8080/landed", Some("not_listed")),
        ("http://127.0.0.2/landed", Some("address_not_listed")),
        (
            "http://169.254.169.254/latest/meta-data/",
            Some("special_address"),
        ),
        ("http://n3.inside.example/landed", Some("special_address")),
    ] {
        let first = get(&format!("http://listed.example/moved?{to}")).bytes();
        let outcome = bench.send(&egress, &first).await;
        let answer = String::from_utf8(outcome.answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 302 "), "{answer}");
        let location = answer
            .lines()
            .find_map(|line| line.strip_prefix("location: "))
            .unwrap();
        assert_eq!(outcome.decisions[0].host, "listed.example");
        // The proxy follows nothing by itself, and the client's next step is judged as any.
        assert_eq!(outcome.arrivals.len(), 1);
        let next = match reason {
            None => get(location).passes(),
            Some(reason) => get(location).refused(reason),
        };
        check(to, &next, &bench.send(&egress, &next.bytes).await);
    }
}

/// Else data could be carried out, in a request or in a name, and nobody would know.
#[tokio::test]
async fn who_does_not_wait_for_an_answer_is_logged_too() {
    let bench = Bench::new().await;
    let egress = bench.egress(&allow(bench.port), ALSO, turns(bench.port));
    let step = get("http://listed.example/silent").passes();
    let outcome = bench.send_and_leave(&egress, &step.bytes).await;
    arrived("left", &step, &outcome);
    recorded("left", &step, &outcome);

    for ask in [
        connect("mzxw6ytboi.wild.example:443"),
        get("http://mzxw6ytboi.wild.example/"),
    ] {
        let step = ask.refused("given_up");
        let outcome = bench.send_and_stop(&egress, &step.bytes).await;
        assert_eq!(outcome.lookups, ["mzxw6ytboi.wild.example"]);
        recorded("stopped", &step, &outcome);
    }
}
