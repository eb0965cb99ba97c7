//! The first certificate, for the token.

use std::io;
use std::time::Duration;

use zeroize::Zeroizing;

use super::authority::Authority;
use super::identity::{Identity, Request};
use super::link::{Link, LinkError};
use crate::identity::{ENROL_PATH, EnrolRequest, IssuedCertificate};
use crate::ids;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Growing pauses, with chance in them, so that all agents do not come back to a restarted server in one moment.
pub struct Backoff(Duration);

impl Backoff {
    pub fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    pub async fn pause(&mut self) {
        let chance = u32::try_from(ids::random() & 0xff).unwrap_or_default();
        // Between half and all of it.
        tokio::time::sleep(self.0 / 2 + self.0 * chance / 512).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

/// Asks until the server answers. The key stays the same meanwhile: when an answer is lost, the server can see that whoever
/// comes with the used token is who used it.
///
/// # Errors
/// The server refuses, or issues what cannot be used; the token is gone then.
pub async fn enrol(
    link: &Link,
    authority: &Authority,
    container: &str,
    token: Zeroizing<String>,
) -> io::Result<Identity> {
    let request = Request::new(container).map_err(io::Error::other)?;
    let body = EnrolRequest {
        container: container.to_owned(),
        token: String::clone(&token),
        csr: request.csr.clone(),
    };
    drop(token);
    let mut backoff = Backoff::new();
    loop {
        match link.post::<IssuedCertificate>(ENROL_PATH, &body).await {
            Ok(issued) => {
                return request
                    .accept(&issued.certificate, authority)
                    .map_err(|error| {
                        let source = std::error::Error::source(&error);
                        let why = source.map(|why| format!(": {why}")).unwrap_or_default();
                        io::Error::other(format!("enrolment of {container} failed: {error}{why}"))
                    });
            }
            Err(error @ LinkError::Refused { .. }) => {
                return Err(io::Error::other(format!(
                    "enrolment of {container} failed: {error}. A token is good for one agent; a new pod gets a new one"
                )));
            }
            Err(error) => eprintln!("optidev-agent: enrolment is tried again: {error}"),
        }
        backoff.pause().await;
    }
}
