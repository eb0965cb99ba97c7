//! Each operation, and each rule that it must hold.

use hpke::{
    Deserializable, Kem, OpModeR, Serializable, aead::AesGcm256, kdf::HkdfSha256,
    kem::X25519HkdfSha256,
};
use optidev::{
    kernel::secret::SecretBytes,
    vault::{
        Binding, DeliverItem, Delivery, Purpose, Sealed, SystemPurpose, Tier, VaultClient,
        VaultError, WrappedKey,
    },
};

use super::harness::{Vault, WORKSPACE, binding, value};

pub async fn sealed(client: &VaultClient, binding: &Binding, text: &str) -> (WrappedKey, Sealed) {
    let key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let sealed = client.seal(&key, binding, value(text)).await.unwrap();
    (key, sealed)
}

#[tokio::test]
async fn reveals_visible_and_masked_values_and_records_hidden_ones_without_the_value() {
    let vault = Vault::start().await;
    let client = vault.client();
    for tier in [Tier::Visible, Tier::Masked] {
        let (key, sealed) = sealed(&client, &binding(tier), "hunter2-canary").await;
        let revealed = client.reveal(&key, &binding(tier), &sealed).await.unwrap();
        assert_eq!(revealed.expose(), b"hunter2-canary");
    }
    let recorded = vault.recorded();
    assert_eq!(recorded.len(), 1, "what every list shows is not recorded");
    assert_eq!(recorded[0]["operation"], "reveal");
    assert_eq!(recorded[0]["outcome"], "ok");
    assert_eq!(recorded[0]["peer_pid"], std::process::id());
    assert_eq!(recorded[0]["secrets"][0]["name"], "DATABASE_URL");
    assert_eq!(recorded[0]["secrets"][0]["tier"], "masked");
    assert_eq!(recorded[0]["secrets"][0]["workspace"], "a1".repeat(16));
    assert!(recorded[0]["time_ms"].as_i64().unwrap() > 1_700_000_000_000);
    assert!(
        !std::fs::read_to_string(&vault.record)
            .unwrap()
            .contains("hunter2")
    );
}

#[tokio::test]
async fn never_reveals_a_sensitive_value_whatever_tier_the_caller_names() {
    let vault = Vault::start().await;
    let client = vault.client();
    let (key, sealed) = sealed(&client, &binding(Tier::Sensitive), "canary").await;
    let honest = client
        .reveal(&key, &binding(Tier::Sensitive), &sealed)
        .await;
    assert!(matches!(honest, Err(VaultError::Refused { .. })));
    for claimed in [Tier::Visible, Tier::Masked] {
        let attempt = client.reveal(&key, &binding(claimed), &sealed).await;
        assert_eq!(attempt.err(), Some(VaultError::DoesNotDecrypt));
    }
    // No other way out either.
    let opened = client
        .open(SystemPurpose::UpstreamAiKey, "DATABASE_URL", &sealed)
        .await;
    assert_eq!(opened.err(), Some(VaultError::DoesNotDecrypt));
    let as_key = client
        .rewrap(WORKSPACE, &WrappedKey(sealed.0.clone()))
        .await;
    assert_eq!(as_key.err(), Some(VaultError::DoesNotDecrypt));
    let outcomes: Vec<_> = vault
        .recorded()
        .iter()
        .map(|line| line["outcome"].clone())
        .collect();
    assert_eq!(
        outcomes,
        [
            "refused",
            "does_not_decrypt",
            "does_not_decrypt",
            "does_not_decrypt"
        ]
    );
}

#[tokio::test]
async fn refuses_a_ciphertext_that_was_moved() {
    let vault = Vault::start().await;
    let client = vault.client();
    let here = binding(Tier::Masked);
    let (key, sealed) = sealed(&client, &here, "value").await;
    let other_key = client.new_workspace_key([0xcc; 16]).await.unwrap();
    let second_key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let elsewhere = [
        Binding {
            workspace: [0xcc; 16],
            ..here.clone()
        },
        Binding {
            secret: [0; 16],
            ..here.clone()
        },
        Binding {
            version: 2,
            ..here.clone()
        },
        Binding {
            name: "DATABASE_URl".to_owned(),
            ..here.clone()
        },
        Binding {
            name: "DATABASE_URL\0".to_owned(),
            ..here.clone()
        },
        Binding {
            purpose: Purpose::Integration,
            ..here.clone()
        },
        Binding {
            tier: Tier::Visible,
            ..here.clone()
        },
    ];
    for elsewhere in elsewhere {
        for key in [&key, &other_key] {
            let attempt = client.reveal(key, &elsewhere, &sealed).await;
            assert_eq!(
                attempt.err(),
                Some(VaultError::DoesNotDecrypt),
                "{elsewhere:?}"
            );
        }
    }
    for key in [&other_key, &second_key] {
        let attempt = client.reveal(key, &here, &sealed).await;
        assert_eq!(attempt.err(), Some(VaultError::DoesNotDecrypt));
    }
    assert!(client.reveal(&key, &here, &sealed).await.is_ok());
    // Another installation has another master and another id.
    let other = Vault::start().await;
    let attempt = other.client().reveal(&key, &here, &sealed).await;
    assert_eq!(attempt.err(), Some(VaultError::DoesNotDecrypt));
}

#[tokio::test]
async fn refuses_one_flipped_bit_anywhere() {
    let vault = Vault::start().await;
    let client = vault.client();
    let (key, sealed) = sealed(&client, &binding(Tier::Masked), "value").await;
    for bit in 0..sealed.0.len() * 8 {
        let mut flipped = sealed.clone();
        flipped.0[bit / 8] ^= 1 << (bit % 8);
        let attempt = client.reveal(&key, &binding(Tier::Masked), &flipped).await;
        assert_eq!(
            attempt.err(),
            Some(VaultError::DoesNotDecrypt),
            "bit {bit} of the value"
        );
    }
    for bit in 0..key.0.len() * 8 {
        let mut flipped = key.clone();
        flipped.0[bit / 8] ^= 1 << (bit % 8);
        let attempt = client
            .reveal(&flipped, &binding(Tier::Masked), &sealed)
            .await;
        assert_eq!(
            attempt.err(),
            Some(VaultError::DoesNotDecrypt),
            "bit {bit} of the key"
        );
    }
}

#[tokio::test]
async fn a_rewrapped_key_opens_what_the_old_one_sealed_and_no_other_workspace_can_rewrap_it() {
    let vault = Vault::start().await;
    let client = vault.client();
    let (key, sealed) = sealed(&client, &binding(Tier::Masked), "value").await;
    let again = client.rewrap(WORKSPACE, &key).await.unwrap();
    assert_ne!(again, key);
    assert!(
        client
            .reveal(&again, &binding(Tier::Masked), &sealed)
            .await
            .is_ok()
    );
    let foreign = client.rewrap([0; 16], &key).await;
    assert_eq!(foreign.err(), Some(VaultError::DoesNotDecrypt));
}

pub struct Agent {
    private: <X25519HkdfSha256 as Kem>::PrivateKey,
    pub public: [u8; 32],
}

impl Agent {
    pub fn new() -> Self {
        let (private, public) = X25519HkdfSha256::gen_keypair();
        Self {
            private,
            public: public.to_bytes().into(),
        }
    }

    /// Opens as RFC 9180 says for a receiver in base mode.
    pub fn open(&self, delivery: &Delivery, info: &str) -> Option<serde_json::Value> {
        let enc = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&delivery.enc).ok()?;
        let text = hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.private,
            &enc,
            info.as_bytes(),
            &delivery.ciphertext,
            &[],
        )
        .ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }
}

#[tokio::test]
async fn delivers_every_tier_to_the_agents_key_only() {
    let vault = Vault::start().await;
    let client = vault.client();
    let key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let texts = [
        "plain",
        "quote \" backslash \\ newline \n tab \t",
        "käse 🧀 \u{1}",
    ];
    let mut items = Vec::new();
    for (number, (text, tier)) in texts.iter().zip(Tier::ALL).enumerate() {
        let env = format!("SECRET_{number}");
        let binding = Binding {
            name: env.clone(),
            ..binding(*tier)
        };
        let sealed = client.seal(&key, &binding, value(text)).await.unwrap();
        items.push(DeliverItem {
            env,
            binding,
            sealed,
            expand: false,
        });
    }
    let agent = Agent::new();
    let extra = || vec![("EXTRA".to_owned(), value("extra"))];
    let delivery = client
        .deliver(&key, items.clone(), agent.public, "ctr_1", extra())
        .await
        .unwrap();
    let expected = serde_json::json!({
        "SECRET_0": texts[0], "SECRET_1": texts[1], "SECRET_2": texts[2], "EXTRA": "extra",
    });
    assert_eq!(agent.open(&delivery, "ctr_1"), Some(expected));
    assert_eq!(
        agent.open(&delivery, "ctr_2"),
        None,
        "info binds it to the container"
    );
    assert_eq!(Agent::new().open(&delivery, "ctr_1"), None);
    let line = &vault.recorded()[0];
    assert_eq!(line["operation"], "deliver");
    assert_eq!(line["secrets"].as_array().unwrap().len(), 3);
    assert_eq!(line["delivery"]["info"], "ctr_1");
    assert_eq!(line["delivery"]["extra"][0], "EXTRA");
    assert!(!line.to_string().contains("backslash"));

    let empty = client
        .deliver(&key, vec![], agent.public, "x", vec![])
        .await
        .unwrap();
    assert_eq!(agent.open(&empty, "x"), Some(serde_json::json!({})));

    // One bad item, and nothing is delivered.
    let mut moved = items.clone();
    moved[1].binding.tier = Tier::Visible;
    let attempt = client
        .deliver(&key, moved, agent.public, "ctr_1", vec![])
        .await;
    assert_eq!(attempt.err(), Some(VaultError::DoesNotDecrypt));
    let mut twice = items.clone();
    twice.push(items[0].clone());
    let refusals = [
        client.deliver(&key, twice, agent.public, "c", vec![]).await,
        client
            .deliver(
                &key,
                vec![],
                agent.public,
                "c",
                vec![("A=B".to_owned(), value(""))],
            )
            .await,
        client
            .deliver(
                &key,
                vec![],
                agent.public,
                "c",
                vec![(String::new(), value(""))],
            )
            .await,
        client
            .deliver(
                &key,
                vec![],
                agent.public,
                "c",
                vec![("A".to_owned(), value("a\0b"))],
            )
            .await,
        client
            .deliver(
                &key,
                vec![],
                agent.public,
                "c",
                vec![("A".to_owned(), SecretBytes::from([0xff].as_slice()))],
            )
            .await,
        // Everybody's key: anyone could open it.
        client.deliver(&key, items, [0; 32], "c", vec![]).await,
    ];
    for refusal in refusals {
        assert!(
            matches!(refusal, Err(VaultError::Refused { .. })),
            "{refusal:?}"
        );
    }
}

#[tokio::test]
async fn an_integrations_secret_is_not_delivered_to_a_container() {
    let vault = Vault::start().await;
    let client = vault.client();
    let binding = Binding {
        purpose: Purpose::Integration,
        ..binding(Tier::Sensitive)
    };
    let (key, sealed) = sealed(&client, &binding, "value").await;
    let item = DeliverItem {
        env: "A".to_owned(),
        binding,
        sealed,
        expand: false,
    };
    let attempt = client
        .deliver(&key, vec![item], Agent::new().public, "c", vec![])
        .await;
    assert!(matches!(attempt, Err(VaultError::Refused { .. })));
}
