//! Takes in the body of a request: whole, because a try that fails before its first byte is made again elsewhere.
//!
//! What always holds: what bodies hold of the server's memory has a limit, for each account and for all together, and a
//! sender that stops sending gives back what it holds.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use super::problem::GatewayError;
use crate::kernel::UserId;

/// Largest request that is passed on.
pub const LARGEST: usize = 32 << 20;
/// Bytes of one account at a time: some of the largest requests.
const OF_ONE: usize = 128 << 20;
/// Bytes of all accounts at a time.
const OF_ALL: usize = 512 << 20;
/// A body must have arrived within this time. One that stands still is given up earlier, like every request's.
const READ: Duration = Duration::from_secs(180);

/// How much is held now, and of whom.
#[derive(Default)]
pub struct Intake(Mutex<Amounts>);

#[derive(Default)]
struct Amounts {
    all: usize,
    of: HashMap<UserId, usize>,
}

/// Bytes that are held; given back when it is dropped.
pub struct Held<'a> {
    intake: &'a Intake,
    user: UserId,
    bytes: usize,
}

impl Intake {
    fn hold(&self, user: UserId) -> Held<'_> {
        Held {
            intake: self,
            user,
            bytes: 0,
        }
    }
}

impl Held<'_> {
    fn more(&mut self, bytes: usize) -> Result<(), GatewayError> {
        let mut amounts = self.intake.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = amounts.of.get(&self.user).copied().unwrap_or(0) + bytes;
        if of_one > OF_ONE {
            return Err(GatewayError::too_much_of_one(OF_ONE));
        }
        if amounts.all + bytes > OF_ALL {
            return Err(GatewayError::too_much_of_all());
        }
        amounts.all += bytes;
        amounts.of.insert(self.user, of_one);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut amounts = self.intake.0.lock().unwrap_or_else(PoisonError::into_inner);
        amounts.all = amounts.all.saturating_sub(self.bytes);
        if let Some(of_one) = amounts.of.get_mut(&self.user) {
            *of_one = of_one.saturating_sub(self.bytes);
            if *of_one == 0 {
                amounts.of.remove(&self.user);
            }
        }
    }
}

/// Reads the whole body; what it holds counts until the second value is dropped.
///
/// # Errors
/// 413, 429, 529 or 408 for too much and too slow, 400 for a body that breaks off.
pub async fn read<'a>(
    intake: &'a Intake,
    user: UserId,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, Held<'a>), GatewayError> {
    within(READ, intake.hold(user), headers, body).await
}

async fn within<'a>(
    limit: Duration,
    held: Held<'a>,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, Held<'a>), GatewayError> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > LARGEST) {
        return Err(GatewayError::too_large(LARGEST));
    }
    tokio::time::timeout(limit, gather(held, body))
        .await
        .map_err(|_| GatewayError::too_slow(limit))?
}

/// Counts what has come and not what was announced: announcing is cheap.
async fn gather(mut held: Held<'_>, mut body: Body) -> Result<(Bytes, Held<'_>), GatewayError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(GatewayError::invalid("the body did not arrive whole"));
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if whole.len() + data.len() > LARGEST {
            return Err(GatewayError::too_large(LARGEST));
        }
        held.more(data.len())?;
        whole.extend_from_slice(&data);
    }
    Ok((whole.freeze(), held))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use futures_util::stream;

    use super::*;
    use crate::kernel::{Clock, Rng};

    fn user() -> UserId {
        UserId::new(&Clock::fixed(1), &Rng)
    }

    fn status(error: GatewayError) -> u16 {
        error.into_response().status().as_u16()
    }

    async fn take(
        intake: &Intake,
        user: UserId,
        bytes: usize,
    ) -> Result<(Bytes, Held<'_>), GatewayError> {
        read(intake, user, &HeaderMap::new(), Body::from(vec![7; bytes])).await
    }

    #[tokio::test]
    async fn one_account_and_all_together_have_limits() {
        let intake = Intake::default();
        let (ada, mut held) = (user(), Vec::new());
        for _ in 0..OF_ONE / LARGEST {
            held.push(take(&intake, ada, LARGEST).await.unwrap().1);
        }
        assert_eq!(take(&intake, ada, 1).await.err().map(status), Some(429));
        // Nobody else is kept from asking by that, until all have too much.
        for _ in OF_ONE / LARGEST..OF_ALL / LARGEST {
            held.push(take(&intake, user(), LARGEST).await.unwrap().1);
        }
        assert_eq!(take(&intake, user(), 1).await.err().map(status), Some(529));
        held.clear();
        let (body, all) = take(&intake, ada, 1_000).await.unwrap();
        assert_eq!(body.len(), 1_000);
        drop(all);
        let amounts = intake.0.lock().unwrap();
        assert_eq!((amounts.all, amounts.of.len()), (0, 0));
    }

    #[tokio::test]
    async fn what_is_too_large_or_never_comes_is_given_up() {
        let intake = Intake::default();
        let refused = take(&intake, user(), LARGEST + 1).await.err();
        assert_eq!(refused.map(status), Some(413));
        let silent = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let (soon, held) = (Duration::from_millis(50), intake.hold(user()));
        let refused = within(soon, held, &HeaderMap::new(), silent).await.err();
        assert_eq!(refused.map(status), Some(408));
        assert_eq!(intake.0.lock().unwrap().all, 0);
    }
}
