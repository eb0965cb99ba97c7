//! What an invitation says by mail.

use super::model::Invitation;
use crate::clients::mail::Mailer;
use crate::context::Ctx;
use crate::features::credentials;
use crate::kernel::Problem;
use crate::vault::SystemPurpose;

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
    let sent = async {
        let mailer = signed_in(ctx, mailer).await?;
        let sent = mailer.send(&invitation.email, &subject(place), text).await;
        sent.map_err(Problem::internal)
    };
    match sent.await {
        Ok(()) => Sent::Yes,
        Err(problem) => {
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

/// The mailer with the password that was given to the vault, where the settings name no file of it.
async fn signed_in(ctx: &Ctx, mailer: &Mailer) -> Result<Mailer, Problem> {
    if mailer.wants_password()
        && let Some(password) = credentials::open(&ctx.services, SystemPurpose::Smtp).await?
    {
        return Ok(mailer.with_password(&password));
    }
    Ok(mailer.clone())
}

/// A name that somebody chose, in a header: on one line and not long.
fn subject(place: &str) -> String {
    let place: String = place.chars().filter(|c| !c.is_control()).take(80).collect();
    format!("Invitation to the workspace {place}")
}
