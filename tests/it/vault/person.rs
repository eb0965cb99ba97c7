//! Deliveries to a person's own program: what may be revealed, counted as reveals, and never a Sensitive value.

use optidev::vault::{Binding, DeliverItem, Recipient, Tier, VaultClient, VaultError, WrappedKey};

use super::harness::{Vault, WORKSPACE, binding, value};
use super::operations::Agent;

async fn item(client: &VaultClient, key: &WrappedKey, name: &str, tier: Tier) -> DeliverItem {
    let binding = Binding {
        name: name.to_owned(),
        ..binding(tier)
    };
    let text = format!("canary of {name}");
    DeliverItem {
        env: name.to_owned(),
        sealed: client.seal(key, &binding, value(&text)).await.unwrap(),
        binding,
        expand: false,
    }
}

#[tokio::test]
async fn a_person_gets_what_may_be_revealed_and_nothing_that_is_sensitive() {
    let vault = Vault::start().await;
    let client = vault.client();
    let key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let shown = item(&client, &key, "SHOWN", Tier::Visible).await;
    let hidden = item(&client, &key, "HIDDEN", Tier::Masked).await;
    let never = item(&client, &key, "NEVER", Tier::Sensitive).await;
    let program = Recipient::generate();
    let to = *program.public();

    let fine = vec![shown.clone(), hidden.clone()];
    let delivery = client.hand_over(&key, fine.clone(), to, "run").await;
    let delivery = delivery.unwrap();
    let opened = program.open(&delivery, "run").unwrap();
    let opened: serde_json::Value = serde_json::from_slice(opened.expose()).unwrap();
    let expected = serde_json::json!({"SHOWN": "canary of SHOWN", "HIDDEN": "canary of HIDDEN"});
    assert_eq!(opened, expected);
    assert!(program.open(&delivery, "other").is_none());
    assert!(Recipient::generate().open(&delivery, "run").is_none());
    assert_eq!(vault.recorded()[0]["delivery"]["audience"], "person");

    // The whole is refused, also where the server claims another tier.
    let with = vec![shown.clone(), never.clone()];
    let refused = client.hand_over(&key, with, to, "run").await;
    let Err(VaultError::Refused { reason }) = refused else {
        panic!("a Sensitive value was handed to a person");
    };
    assert!(reason.contains("NEVER is Sensitive"), "{reason}");
    for tier in [Tier::Visible, Tier::Masked] {
        let mut claimed = never.clone();
        claimed.binding.tier = tier;
        let refused = client.hand_over(&key, vec![claimed], to, "run").await;
        assert_eq!(refused.err(), Some(VaultError::DoesNotDecrypt));
    }
    assert_eq!(vault.recorded()[1]["outcome"], "refused");

    // A delivery is for the one or for the other: neither opens what was meant for the other.
    let agent = Agent::new();
    let to_container = client
        .deliver(&key, vec![never], to, "run", vec![])
        .await
        .unwrap();
    assert!(program.open(&to_container, "run").is_none());
    let to_person = client.hand_over(&key, fine, agent.public, "run").await;
    assert_eq!(agent.open(&to_person.unwrap(), "run"), None);
    let record = std::fs::read_to_string(&vault.record).unwrap();
    assert!(!record.contains("canary"), "{record}");
}

#[tokio::test]
async fn each_hidden_value_counts_as_a_reveal() {
    let vault = Vault::start_with(&["--reveal-burst", "3", "--reveals-per-minute", "1"]).await;
    let client = vault.client();
    let key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let mut hidden = Vec::new();
    for name in ["A", "B", "C", "D"] {
        hidden.push(item(&client, &key, name, Tier::Masked).await);
    }
    let shown = item(&client, &key, "SHOWN", Tier::Visible).await;
    let to = *Recipient::generate().public();
    let hand = async |items: &[DeliverItem]| {
        client
            .hand_over(&key, items.to_vec(), to, "run")
            .await
            .map(drop)
    };
    assert!(hand(&hidden[..2]).await.is_ok());
    assert!(matches!(
        hand(&hidden[..2]).await,
        Err(VaultError::Throttled { .. })
    ));
    // What can never be had at once is refused, and not put off for ever.
    let Err(VaultError::Refused { reason }) = hand(&hidden).await else {
        panic!("more than all reveals were given out at once");
    };
    assert!(
        reason.contains("4 hidden values, and at most 3"),
        "{reason}"
    );
    // Visible ones use up none, and a single reveal comes from the same budget.
    for _ in 0..10 {
        assert!(hand(std::slice::from_ref(&shown)).await.is_ok());
    }
    let one = &hidden[3];
    assert!(client.reveal(&key, &one.binding, &one.sealed).await.is_ok());
    let none = client.reveal(&key, &one.binding, &one.sealed).await;
    assert!(matches!(none.err(), Some(VaultError::Throttled { .. })));
}
