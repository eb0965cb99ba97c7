//! What the vault remembers of the audit log's chains: never less than it knew, through kills and torn writes.

use std::os::unix::fs::FileExt;

use optidev::vault::{MacPurpose, VaultClient, VaultError};

use super::harness::Vault;

/// A message of an entry as the ledger makes it: chain, number, and the rest.
fn message(chain: u8, seq: i64, rest: u8) -> Vec<u8> {
    let mut bytes = vec![chain; 16];
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(&[rest; 64]);
    bytes
}

async fn keep(client: &VaultClient, chain: u8, seq: i64, rest: u8) -> Result<i64, VaultError> {
    let message = message(chain, seq, rest);
    let mac = client.mac(MacPurpose::Audit, &message).await?;
    client.anchor(&message, &mac).await
}

async fn known(client: &VaultClient) -> Vec<(u8, i64)> {
    let anchors = client.anchors().await.unwrap();
    anchors
        .iter()
        .map(|anchor| (anchor.chain[0], anchor.seq))
        .collect()
}

#[tokio::test]
async fn only_higher_entries_with_their_own_mac_are_kept() {
    let vault = Vault::start().await;
    let client = vault.client();
    assert_eq!(keep(&client, 1, 5, 0).await, Ok(5));
    assert_eq!(
        keep(&client, 1, 3, 0).await,
        Ok(5),
        "a lower one changes nothing"
    );
    assert_eq!(
        keep(&client, 1, 5, 0).await,
        Ok(5),
        "the same again is fine"
    );
    assert_eq!(keep(&client, 2, 1, 0).await, Ok(1));
    assert_eq!(keep(&client, 1, 6, 0).await, Ok(6));
    let forked = keep(&client, 1, 6, 9).await;
    assert!(
        matches!(forked, Err(VaultError::Refused { .. })),
        "{forked:?}"
    );
    let high = message(1, 100, 0);
    let of_another_purpose = client.mac(MacPurpose::Cursor, &high).await.unwrap();
    for mac in [[0; 32], of_another_purpose] {
        let refused = client.anchor(&high, &mac).await;
        assert!(
            matches!(refused, Err(VaultError::Refused { .. })),
            "{refused:?}"
        );
    }
    let short = [0; 40];
    let mac = client.mac(MacPurpose::Audit, &short).await.unwrap();
    assert!(client.anchor(&short, &mac).await.is_err());
    assert_eq!(known(&client).await, [(1, 6), (2, 1)]);
}

#[tokio::test]
async fn anchors_outlive_kills_and_torn_writes() {
    let mut vault = Vault::start().await;
    let client = vault.client();
    for seq in 1..=50 {
        keep(&client, 1, seq, 0).await.unwrap();
        keep(&client, 2, seq * 2, 0).await.unwrap();
    }
    vault.kill();
    vault.restart();
    vault.wait().await;
    assert_eq!(known(&client).await, [(1, 50), (2, 100)]);
    assert_eq!(keep(&client, 1, 51, 0).await, Ok(51));
    vault.kill();
    let path = vault.folder.path().join("anchors");
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 4 * 120, "it does not grow with the log");
    // The machine stopped in the middle of the last write: the entry before it is still known.
    let last = message(1, 51, 0);
    let at = bytes.windows(88).position(|part| part == last).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff; 60], at as u64 + 60).unwrap();
    vault.restart();
    vault.wait().await;
    assert_eq!(known(&client).await, [(1, 50), (2, 100)]);
    assert_eq!(keep(&client, 1, 52, 0).await, Ok(52));
    vault.kill();
    vault.restart();
    vault.wait().await;
    assert_eq!(known(&client).await, [(1, 52), (2, 100)]);
}
