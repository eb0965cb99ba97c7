//! What may be chosen of a container: its class and its image, from those that the administrator lists.

use serde::{Deserialize, Serialize};

use super::store::container;
use crate::authz::permission::ContainersRead;
use crate::config::{Config, KubernetesConfig, RuntimeKind};
use crate::context::Ctx;
use crate::kernel::{Code, Problem, WorkspaceId};

/// What somebody asks for; what is left out stays as it is, and is the default at first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The name of a class.
    #[serde(default)]
    pub class: Option<String>,
    /// An image, as it is listed.
    #[serde(default)]
    pub image: Option<String>,
}

/// What there is to choose from. Empty where containers do not run in pods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Choices {
    /// Sizes.
    pub classes: Vec<ClassInfo>,
    /// The class of those who choose none.
    pub default_class: String,
    /// Images; the first is that of those who choose none.
    pub images: Vec<String>,
}

/// A size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ClassInfo {
    /// To name it by.
    pub name: String,
    /// Thousandths of a core, at most.
    pub cpu_milli: u32,
    /// Memory.
    pub memory_mib: u32,
    /// The home volume.
    pub volume_gib: u32,
    /// Graphics processors.
    pub gpus: u32,
}

impl Choices {
    /// Of these settings.
    pub fn of(config: &Config) -> Self {
        let Some(kubernetes) = pods(config) else {
            return Self::default();
        };
        let classes = kubernetes.classes.iter().map(|(name, class)| ClassInfo {
            name: name.clone(),
            cpu_milli: class.cpu_limit_milli,
            memory_mib: class.memory_mib,
            volume_gib: class.volume_gib,
            gpus: class.gpu.as_ref().map_or(0, |gpu| gpu.count),
        });
        Self {
            classes: classes.collect(),
            default_class: kubernetes.default_class.clone(),
            images: kubernetes.images.clone(),
        }
    }
}

impl Choice {
    /// Whether the settings have it.
    ///
    /// # Errors
    /// `unprocessable` that names the field, the value and what there is.
    pub fn check(&self, config: &Config) -> Result<(), Problem> {
        let choices = Choices::of(config);
        let names: Vec<&str> = choices
            .classes
            .iter()
            .map(|class| class.name.as_str())
            .collect();
        if let Some(class) = self.class.as_deref().filter(|class| !names.contains(class)) {
            return Err(not_there("class", class, &names));
        }
        let images: Vec<&str> = choices.images.iter().map(String::as_str).collect();
        match self
            .image
            .as_deref()
            .filter(|image| !images.contains(image))
        {
            Some(image) => Err(not_there("image", image, &images)),
            None => Ok(()),
        }
    }

    /// The class and the image that a container gets whose row has `row`'s.
    pub fn over(&self, row: &container::Model) -> (Option<String>, Option<String>) {
        (
            self.class.clone().or_else(|| row.class.clone()),
            self.image.clone().or_else(|| row.image.clone()),
        )
    }
}

fn not_there(field: &str, value: &str, known: &[&str]) -> Problem {
    let there = if known.is_empty() {
        "containers of this installation have nothing to choose".to_owned()
    } else {
        format!("there are {}", known.join(", "))
    };
    Problem::new(
        Code::Unprocessable,
        format!("{field}: {value:?} is not among what the administrator lists: {there}."),
    )
}

fn pods(config: &Config) -> Option<&KubernetesConfig> {
    (config.runtime.kind == RuntimeKind::Kubernetes).then_some(&config.kubernetes)
}

/// What the caller may choose from.
///
/// # Errors
/// 404, 403.
pub async fn choices(ctx: &Ctx, workspace: WorkspaceId) -> Result<Choices, Problem> {
    ctx.authorize::<ContainersRead>(workspace).await?;
    Ok(Choices::of(&ctx.services.config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_may_be_chosen() {
        let mut config = Config::default();
        let choice = |class: Option<&str>, image: Option<&str>| Choice {
            class: class.map(str::to_owned),
            image: image.map(str::to_owned),
        };
        choice(None, None).check(&config).unwrap();
        let said = choice(Some("medium"), None).check(&config).unwrap_err();
        assert!(said.detail.contains("nothing to choose"), "{}", said.detail);
        config.runtime.kind = RuntimeKind::Kubernetes;
        config.kubernetes.images = vec!["a@sha256:1".to_owned(), "b@sha256:2".to_owned()];
        choice(Some("medium"), Some("b@sha256:2"))
            .check(&config)
            .unwrap();
        for (wrong, parts) in [
            (choice(Some("huge"), None), ["class: \"huge\"", "medium"]),
            (
                choice(None, Some("evil")),
                ["image: \"evil\"", "a@sha256:1"],
            ),
        ] {
            let said = wrong.check(&config).unwrap_err().detail;
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
    }
}
