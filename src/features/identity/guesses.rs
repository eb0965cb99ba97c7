//! Slows down guessing: a try is taken before a secret is looked at, so that guesses in parallel count too, and given
//! back when it was right.

use std::time::Duration;

use crate::context::Services;
use crate::kernel::Problem;
use crate::shared::{Quota, Take, Taken};

const WINDOW: Duration = Duration::from_secs(15 * 60);
/// For one account from one address.
pub const NARROW: Quota = Quota {
    most: 10,
    per: WINDOW,
};
/// For one account from everywhere, or for one address: loose, so that guessing for others does not shut them out soon,
/// and people behind one address do not shut out each other.
pub const WIDE: Quota = Quota {
    most: 100,
    per: WINDOW,
};

/// A try that was taken.
pub struct Guess {
    takes: Vec<Take>,
}

/// Takes a try for each of `keys`.
///
/// # Errors
/// `rate_limited`, saying how long to wait; `unavailable` when it cannot be counted. No try is taken then.
pub async fn take(services: &Services, keys: &[(String, Quota)]) -> Result<Guess, Problem> {
    let takes: Vec<Take> = keys
        .iter()
        .map(|(key, quota)| Take::new(&format!("guess {key}"), *quota))
        .collect();
    match services.shared.limiter.strict(&takes).await? {
        Taken::All(_) => Ok(Guess { takes }),
        Taken::None { wait, .. } => {
            let minutes = wait.as_secs() / 60 + 1;
            let time = if minutes == 1 {
                "a minute".to_owned()
            } else {
                format!("{minutes} minutes")
            };
            let detail = format!("Too many failed sign-ins. Wait {time} and try again.");
            Err(Problem::rate_limited(detail, wait))
        }
    }
}

impl Guess {
    /// It was right, and does not count.
    pub async fn right(self, services: &Services) {
        services.shared.limiter.give_back(&self.takes).await;
    }
}
