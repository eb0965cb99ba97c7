//! What an invitation says by mail.

use super::model::Invitation;
use crate::context::Ctx;
use crate::kernel::Problem;

/// How sending ended.
pub enum Sent {
    /// The mail server took it.
    Yes,
    /// There is no mail server.
    NotConfigured,
    /// It should have been sent and was not; why, for the inviter.
    Failed(String),
}

/// Sends an invitation's link.
pub async fn invite(ctx: &Ctx, invitation: &Invitation, place: &str, link: &str) -> Sent {
    let Some(mailer) = &ctx.services.mailer else {
        return Sent::NotConfigured;
    };
    let days = (invitation.expires_at_ms - invitation.created_at_ms) / 86_400_000;
    let text = format!(
        "{} invites you to the workspace \"{place}\" as {}.\n\n\
         Open this link to accept. It works once, within {days} days:\n\n{link}\n\n\
         If you do not expect this, ignore it: nothing happens without the link.\n",
        ctx.actor.name(),
        invitation.role.as_str(),
    );
    match mailer.send(&invitation.email, &subject(place), text).await {
        Ok(()) => Sent::Yes,
        Err(error) => {
            let problem = Problem::internal(error);
            tracing::warn!(
                invitation = %invitation.id,
                cause = problem.cause,
                "an invitation could not be sent by mail"
            );
            Sent::Failed(
                "The mail could not be sent; the operator finds the reason in the server's log. Hand the link over \
                 yourself."
                    .to_owned(),
            )
        }
    }
}

/// A name that somebody chose, in a header: on one line and not long.
fn subject(place: &str) -> String {
    let place: String = place.chars().filter(|c| !c.is_control()).take(80).collect();
    format!("Invitation to the workspace {place}")
}
