//! What the cluster says, as one sentence for people: what happened, which value, what to do.

mod pod;
mod refusal;

pub use pod::{events, is_over, pod, removed, start_of, vanished};
pub use refusal::{Refusal, refusal};

use k8s_openapi::api::core::v1::Namespace;

/// What holds up a namespace that is being removed.
pub fn namespace(namespace: &Namespace) -> Option<String> {
    let name = namespace.metadata.name.as_deref().unwrap_or_default();
    let status = namespace.status.as_ref()?;
    let stuck = status.conditions.iter().flatten().find(|condition| {
        condition.status == "True"
            && matches!(
                condition.type_.as_str(),
                "NamespaceFinalizersRemaining"
                    | "NamespaceDeletionContentFailure"
                    | "NamespaceDeletionDiscoveryFailure"
                    | "NamespaceDeletionGroupVersionParsingFailure"
            )
    })?;
    Some(format!(
        "The namespace \"{name}\" is not gone yet: {}",
        sentence(stuck.message.as_deref().unwrap_or_default())
    ))
}

/// Cut to what fits a page, with a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim().trim_end_matches(['.', ',']);
    let mut cut: String = text.chars().take(300).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut.push('.');
    cut
}
