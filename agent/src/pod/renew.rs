//! A new certificate, and a new key, before the present one ends.

use std::sync::Arc;
use std::time::Duration;

use super::authority::Authority;
use super::enrol::Backoff;
use super::identity::{Holder, Identity, Request};
use super::link::Link;
use super::validity::Validity;
use crate::identity::{IssuedCertificate, RENEW_PATH, RenewRequest};
use crate::ids;

/// A certificate that comes with most of its life gone must not make the agent ask without end.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// The clock is read again this often: the pod may have been frozen, or the clock set.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Renews for as long as the agent runs.
pub async fn keep(link: Link, authority: Arc<Authority>, container: String, holder: Arc<Holder>) {
    loop {
        tokio::time::sleep(SHORTEST_WAIT).await;
        wait(due_ms(holder.validity(), ids::random())).await;
        let mut backoff = Backoff::new();
        loop {
            match renew(&link, &authority, &container).await {
                Ok(new) => break holder.replace(new),
                // A refusal too: the server may be set right, and what runs here is not lost for it.
                Err(error) => eprintln!("optidev-agent: renewal is tried again: {error}"),
            }
            backoff.pause().await;
        }
    }
}

/// Between 50 and 60 parts of 100 of the certificate's life, so that there is time for tries before two thirds of it.
fn due_ms(validity: Validity, chance: u128) -> i64 {
    let life = validity.until_ms.saturating_sub(validity.from_ms);
    let chance = i64::try_from(chance % 1000).unwrap_or_default();
    validity
        .from_ms
        .saturating_add(life / 2)
        .saturating_add(life / 10 / 1000 * chance)
}

async fn wait(due_ms: i64) {
    loop {
        let left = due_ms.saturating_sub(ids::now_ms());
        match u64::try_from(left) {
            Ok(left @ 1..) => {
                tokio::time::sleep(Duration::from_millis(left).min(LONGEST_WAIT)).await;
            }
            _ => return,
        }
    }
}

async fn renew(
    link: &Link,
    authority: &Authority,
    container: &str,
) -> Result<Identity, Box<dyn std::error::Error + Send + Sync>> {
    let request = Request::new(container)?;
    let body = RenewRequest {
        csr: request.csr.clone(),
    };
    let issued: IssuedCertificate = link.post(RENEW_PATH, &body).await?;
    Ok(request.accept(&issued.certificate, authority)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_comes_before_two_thirds_of_the_life() {
        let validity = Validity {
            from_ms: 1_000_000,
            until_ms: 4_000_000,
        };
        for chance in [0, 1, 500, 999, u128::MAX] {
            let due = due_ms(validity, chance);
            assert!((2_500_000..=2_800_000).contains(&due), "{due}");
        }
    }
}
