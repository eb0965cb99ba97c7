//! The process is killed in the middle of each of its operations, two hundred times in all: nothing that was acknowledged is
//! lost, nothing is half there, and it serves again within a second.

use std::time::{Duration, Instant};

use hpke::{
    Deserializable, Kem, OpModeS, Serializable, aead::AesGcm256, kdf::HkdfSha256,
    kem::X25519HkdfSha256,
};
use optidev::vault::{
    Binding, DeliverItem, MacPurpose, SUBMISSION_INFO, Sealed, Submission, SystemPurpose, Tier,
    VaultClient, VaultError, WrappedKey, submission_data,
};

use super::harness::{Vault, WORKSPACE, binding, value};
use super::operations::Agent;

const KILLS: usize = 200;

/// Callers that are under way when the process is killed.
const CALLERS: u64 = 12;

const USER: [u8; 16] = [0xdd; 16];

/// What was made before the first kill, and must be good after the last.
struct Kept {
    key: WrappedKey,
    bound: Binding,
    sealed: Sealed,
    credential: Sealed,
    seed: Sealed,
    mac: [u8; 32],
    submission: Submission,
    agent: Agent,
}

/// Every operation of the client but `status`, which is what says that the process is back.
#[derive(Debug, Clone, Copy)]
enum Operation {
    NewWorkspaceKey,
    Rewrap,
    Seal,
    Reveal,
    Deliver,
    Mac,
    TotpSeed,
    TotpVerify,
    SealSystem,
    Open,
    Anchor,
    Anchors,
    SubmissionKey,
    SealSubmitted,
    Reseal,
    RewrapSystem,
    RewrapTotp,
}

const ALL: [Operation; 17] = [
    Operation::NewWorkspaceKey,
    Operation::Rewrap,
    Operation::Seal,
    Operation::Reveal,
    Operation::Deliver,
    Operation::Mac,
    Operation::TotpSeed,
    Operation::TotpVerify,
    Operation::SealSystem,
    Operation::Open,
    Operation::Anchor,
    Operation::Anchors,
    Operation::SubmissionKey,
    Operation::SealSubmitted,
    Operation::Reseal,
    Operation::RewrapSystem,
    Operation::RewrapTotp,
];

impl Kept {
    async fn make(client: &VaultClient) -> Self {
        let key = client.new_workspace_key(WORKSPACE).await.unwrap();
        let bound = binding(Tier::Masked);
        let sealed = client.seal(&key, &bound, value("before")).await.unwrap();
        let credential = client
            .seal_system(SystemPurpose::Smtp, "main", value("credential"))
            .await
            .unwrap();
        let to = client.submission_key().await.unwrap();
        let install = client.status().await.unwrap().install;
        let data = submission_data(&install, &WORKSPACE, &bound.name, bound.purpose, bound.tier);
        let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&to.public).unwrap();
        let (enc, ciphertext) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            SUBMISSION_INFO,
            b"submitted",
            &data,
        )
        .unwrap();
        Self {
            key,
            sealed,
            credential,
            seed: client.totp_seed(USER).await.unwrap().0,
            mac: client.mac(MacPurpose::Csrf, b"data").await.unwrap(),
            submission: Submission {
                root: to.root,
                enc: enc.to_bytes().into(),
                ciphertext,
            },
            bound,
            agent: Agent::new(),
        }
    }

    /// Does the operation and checks that its answer is whole.
    async fn once(
        &self,
        client: &VaultClient,
        operation: Operation,
        caller: u64,
    ) -> Result<(), VaultError> {
        let Self { key, bound, .. } = self;
        let opens = |sealed: Sealed, text: &'static str| async move {
            let opened = client.reveal(key, bound, &sealed).await?;
            assert_eq!(opened.expose(), text.as_bytes());
            Ok::<_, VaultError>(())
        };
        match operation {
            Operation::NewWorkspaceKey => {
                let new = client.new_workspace_key(WORKSPACE).await?;
                let sealed = client.seal(&new, bound, value("during")).await?;
                let opened = client.reveal(&new, bound, &sealed).await?;
                assert_eq!(opened.expose(), b"during");
            }
            Operation::Rewrap => {
                let again = client.rewrap(WORKSPACE, key).await?;
                let opened = client.reveal(&again, bound, &self.sealed).await?;
                assert_eq!(opened.expose(), b"before");
            }
            Operation::Seal => {
                let sealed = client.seal(key, bound, value("during")).await?;
                opens(sealed, "during").await?;
            }
            Operation::Reveal => opens(self.sealed.clone(), "before").await?,
            Operation::Deliver => {
                let item = DeliverItem {
                    env: "A".to_owned(),
                    binding: bound.clone(),
                    sealed: self.sealed.clone(),
                    expand: false,
                };
                let to = self.agent.public;
                let delivery = client.deliver(key, vec![item], to, "ctr", vec![]).await?;
                let expected = serde_json::json!({"A": "before"});
                assert_eq!(self.agent.open(&delivery, "ctr"), Some(expected));
            }
            Operation::Mac => {
                assert_eq!(client.mac(MacPurpose::Csrf, b"data").await?, self.mac);
            }
            Operation::TotpSeed => {
                let (sealed, _) = client.totp_seed(USER).await?;
                client.rewrap_totp(USER, &sealed).await?;
            }
            Operation::TotpVerify => {
                // Tries are counted; only a few callers use theirs up.
                let tried = client
                    .totp_verify(USER, &self.seed, "000000", 0, Some(9))
                    .await;
                let expected = matches!(tried, Ok(None) | Err(VaultError::Throttled { .. }));
                assert!(expected, "{tried:?}");
            }
            Operation::SealSystem => {
                let purpose = SystemPurpose::Sms;
                let sealed = client.seal_system(purpose, "x", value("during")).await?;
                let opened = client.open(purpose, "x", &sealed).await?;
                assert_eq!(opened.expose(), b"during");
            }
            Operation::Open => {
                let opened = client
                    .open(SystemPurpose::Smtp, "main", &self.credential)
                    .await?;
                assert_eq!(opened.expose(), b"credential");
            }
            Operation::Anchor => {
                anchor(client, caller).await?;
            }
            Operation::Anchors => {
                client.anchors().await?;
            }
            Operation::SubmissionKey => {
                assert_eq!(client.submission_key().await?.root, self.submission.root);
            }
            Operation::SealSubmitted => {
                let sealed = client.seal_submitted(key, bound, &self.submission).await?;
                opens(sealed, "submitted").await?;
            }
            Operation::Reseal => {
                let sealed = client
                    .reseal((key, bound), &self.sealed, (key, bound))
                    .await?;
                opens(sealed, "before").await?;
            }
            Operation::RewrapSystem => {
                let (purpose, name) = (SystemPurpose::Smtp, "main");
                let again = client
                    .rewrap_system(purpose, name, &self.credential)
                    .await?;
                let opened = client.open(purpose, name, &again).await?;
                assert_eq!(opened.expose(), b"credential");
            }
            Operation::RewrapTotp => {
                let again = client.rewrap_totp(USER, &self.seed).await?;
                client.rewrap_totp(USER, &again).await?;
            }
        }
        Ok(())
    }
}

/// Anchors a number that is this caller's next, in a chain of its own; the number that is known after.
async fn anchor(client: &VaultClient, caller: u64) -> Result<i64, VaultError> {
    let chain = [u8::try_from(caller).unwrap() + 1; 16];
    let known = client.anchors().await?;
    let last = known.iter().find(|anchor| anchor.chain == chain);
    let next = last.map_or(1, |anchor| anchor.seq + 1);
    let mut message = chain.to_vec();
    message.extend_from_slice(&next.to_be_bytes());
    message.extend_from_slice(&[0; 64]);
    let mac = client.mac(MacPurpose::Audit, &message).await?;
    let answered = client.anchor(&message, &mac).await?;
    assert_eq!(answered, next);
    Ok(next)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_two_hundred_times_in_each_operation_it_loses_nothing() {
    let mut vault = Vault::start().await;
    let client = vault.client();
    let kept = std::sync::Arc::new(Kept::make(&client).await);
    let master = std::fs::read(vault.folder.path().join("master")).unwrap();
    let status = client.status().await.unwrap();
    let mut slowest = Duration::ZERO;
    let mut anchored = 0;
    let mut lines = 0;
    for kill in 0..KILLS {
        let operation = ALL[kill % ALL.len()];
        let calls: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (client, kept) = (client.clone(), std::sync::Arc::clone(&kept));
                tokio::spawn(async move {
                    // Spread around the moment of the kill.
                    tokio::time::sleep(Duration::from_micros(caller * 150)).await;
                    kept.once(&client, operation, caller).await
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_micros((kill as u64 * 379) % 2500)).await;
        let start = Instant::now();
        vault.kill();
        vault.restart();
        let now = client.status().await.unwrap();
        slowest = slowest.max(start.elapsed());
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "back after {:?} in {operation:?}",
            start.elapsed()
        );
        assert_ne!(now.pid, status.pid);
        assert_eq!(
            (now.install, &now.root_keys),
            (status.install, &status.root_keys)
        );
        for call in calls {
            let done = call.await.unwrap();
            assert_eq!(done, Ok(()), "{operation:?}, kill {kill}");
        }
        // What was acknowledged before is there: the value, the seed, the record's lines, the highest anchors.
        kept.once(&client, Operation::Reveal, 0).await.unwrap();
        kept.once(&client, Operation::RewrapTotp, 0).await.unwrap();
        kept.once(&client, Operation::Open, 0).await.unwrap();
        let number = anchor(&client, 200).await.unwrap();
        assert_eq!(number, anchored + 1, "an anchor was lost by kill {kill}");
        anchored = number;
        let (recorded, torn) = vault.recorded_over_kills();
        assert!(recorded > lines, "lines were lost by kill {kill}");
        assert!(torn <= kill + 1, "a line was torn that no kill tore");
        lines = recorded;
    }
    assert_eq!(
        std::fs::read(vault.folder.path().join("master")).unwrap(),
        master
    );
    println!("back after {slowest:?} at the slowest of {KILLS} kills");
}
