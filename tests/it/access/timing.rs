//! Whether time tells foreign from absent: by distributions of many answers, not by one.

use std::time::Instant;

use crate::support::api::Api;

/// Answers of each kind in one round.
const ASKED: usize = 300;
/// Rounds at most: one that finds no difference is enough, so that a busy machine fails no test.
const ROUNDS: usize = 5;
/// The chance that an answer about a foreign thing takes longer than one about an absent thing. One half is no
/// difference; with so many answers chance alone leaves this range once in ten thousand rounds.
const ALIKE: std::ops::RangeInclusive<f64> = 0.41..=0.59;

/// Medians that differ by less than this part are no cliff, however sure it is that they differ: a row that is read and
/// turned away costs a few microseconds more than none.
const CLIFF: f64 = 0.05;

/// Asks `foreign` and `absent`, both refused with 404, in turns.
///
/// # Panics
/// When five rounds in a row tell them apart in the same direction.
pub async fn tells_nothing(api: &Api, foreign: &str, absent: &str) {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let mut took = [Vec::with_capacity(ASKED), Vec::with_capacity(ASKED)];
        for number in 0..2 * ASKED {
            let (kind, path) = [(0, foreign), (1, absent)][number % 2];
            let start = Instant::now();
            let answer = api.get(path).await;
            took[kind].push(start.elapsed().as_nanos());
            assert_eq!(answer.status, 404, "{path}");
        }
        let longer = chance_of_longer(&took[0], &took[1]);
        if ALIKE.contains(&longer) || apart(&took[0], &took[1]) < CLIFF {
            return;
        }
        rounds.push(longer);
    }
    let same =
        rounds.iter().all(|longer| *longer > 0.5) || rounds.iter().all(|longer| *longer < 0.5);
    assert!(
        !same,
        "{foreign}: time tells foreign from absent: {rounds:?}"
    );
}

/// By which part of the second median the medians differ.
fn apart(these: &[u128], those: &[u128]) -> f64 {
    let median = |took: &[u128]| {
        let mut sorted = took.to_vec();
        sorted.sort_unstable();
        sorted[sorted.len() / 2] as f64
    };
    (median(these) - median(those)).abs() / median(those)
}

/// The statistic of Mann and Whitney: how often one of `these` is longer than one of `those`.
fn chance_of_longer(these: &[u128], those: &[u128]) -> f64 {
    let mut wins = 0.0;
    for this in these {
        for that in those {
            wins += match this.cmp(that) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    wins / (these.len() * those.len()) as f64
}

#[test]
fn a_difference_is_seen() {
    let these: Vec<u128> = (0..300).map(|number| 1_000 + number % 100).collect();
    let later: Vec<u128> = these.iter().map(|took| took + 20).collect();
    assert!(ALIKE.contains(&chance_of_longer(&these, &these)));
    assert!(!ALIKE.contains(&chance_of_longer(&later, &these)));
    assert!(!ALIKE.contains(&chance_of_longer(&these, &later)));
    assert!(apart(&later, &these) < CLIFF);
    let much_later: Vec<u128> = these.iter().map(|took| took + 200).collect();
    assert!(apart(&much_later, &these) > CLIFF && apart(&these, &much_later) > CLIFF);
}
