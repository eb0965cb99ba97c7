//! The vault's own memory of the audit log: for each chain the entry with the highest number whose MAC it has checked.
//!
//! Whoever can write the database can cut a chain's end off and its head back; they cannot make this file forget. Each
//! chain has two slots of [`SLOT`] bytes, an entry's message and its MAC, which are written in turns: a write that was
//! torn by a power cut does not verify, and the other slot still holds the number before it. Nothing is opened,
//! renamed or cut after the start, because the process may not do that any more.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::{Mutex, PoisonError},
};

use subtle::ConstantTimeEq;

use super::keys::Keys;
use crate::vault::types::{AUDIT_MESSAGE, Anchor, MacPurpose, VaultError};

/// A message and its MAC.
const SLOT: usize = AUDIT_MESSAGE + 32;

/// The open file and what it holds.
pub struct Anchors(Mutex<State>);

struct State {
    file: File,
    /// How many pairs of slots the file has.
    pairs: u64,
    chains: HashMap<[u8; 16], Held>,
}

struct Held {
    anchor: Anchor,
    pair: u64,
    /// The slot of the pair that does not hold the anchor: the next one is written there.
    free: u64,
}

impl Anchors {
    /// Opens or makes the file at `path`, mode 0600, and reads what verifies.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path, keys: &Keys) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut chains: HashMap<[u8; 16], Held> = HashMap::new();
        let slots = bytes.chunks(SLOT).zip(0u64..);
        for (slot, number) in slots {
            let Some((message, mac)) = slot.split_at_checked(AUDIT_MESSAGE) else {
                continue;
            };
            let Ok(mac) = mac.try_into() else { continue };
            let Ok(anchor) = verified(keys, message, &mac) else {
                continue;
            };
            let newer = chains
                .get(&anchor.chain)
                .is_none_or(|held| held.anchor.seq < anchor.seq);
            if newer {
                let held = Held {
                    pair: number / 2,
                    free: 1 - number % 2,
                    anchor,
                };
                chains.insert(held.anchor.chain, held);
            }
        }
        let pairs = (bytes.len() as u64).div_ceil(2 * SLOT as u64);
        Ok(Self(Mutex::new(State {
            file,
            pairs,
            chains,
        })))
    }

    /// Remembers an entry unless a later one of its chain is known; answers the highest number known then.
    ///
    /// # Errors
    /// [`VaultError::Refused`] when the MAC is not of the message, or another entry with this number is known: then the
    /// chain was cut and continued. [`VaultError::NotRecorded`] when it cannot be written.
    pub fn keep(&self, keys: &Keys, message: &[u8], mac: &[u8; 32]) -> Result<i64, VaultError> {
        let anchor = verified(keys, message, mac)?;
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State {
            file,
            pairs,
            chains,
        } = &mut *state;
        let place = match chains.get(&anchor.chain) {
            Some(held) if held.anchor.seq > anchor.seq => return Ok(held.anchor.seq),
            Some(held) if held.anchor.seq == anchor.seq => {
                if held.anchor == anchor {
                    return Ok(anchor.seq);
                }
                return Err(refused(
                    "another entry of this audit log with the same number is known: the log was cut and continued; run optidev verify audit",
                ));
            }
            Some(held) => (held.pair, held.free),
            None => (*pairs, 0),
        };
        let mut slot = Vec::with_capacity(SLOT);
        slot.extend_from_slice(message);
        slot.extend_from_slice(mac);
        file.write_all_at(&slot, (place.0 * 2 + place.1) * SLOT as u64)
            .map_err(|_| VaultError::NotRecorded)?;
        *pairs = (*pairs).max(place.0 + 1);
        let seq = anchor.seq;
        let held = Held {
            pair: place.0,
            free: 1 - place.1,
            anchor,
        };
        chains.insert(held.anchor.chain, held);
        Ok(seq)
    }

    /// All that is known, by chain.
    pub fn all(&self) -> Vec<Anchor> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Anchor> = state.chains.values().map(|held| held.anchor).collect();
        all.sort_unstable_by_key(|anchor| anchor.chain);
        all
    }
}

/// The chain and number that a message names, when the MAC is its own.
fn verified(keys: &Keys, message: &[u8], mac: &[u8; 32]) -> Result<Anchor, VaultError> {
    let shape = || refused("this is no message of an audit entry");
    if message.len() != AUDIT_MESSAGE {
        return Err(shape());
    }
    let (chain, rest) = message.split_first_chunk::<16>().ok_or_else(shape)?;
    let (seq, _) = rest.split_first_chunk::<8>().ok_or_else(shape)?;
    let right = keys.mac(MacPurpose::Audit, message)?;
    if !bool::from(right.ct_eq(mac)) {
        return Err(refused("the MAC is not that of the entry"));
    }
    Ok(Anchor {
        chain: *chain,
        seq: i64::from_be_bytes(*seq),
        mac: *mac,
    })
}

fn refused(reason: &str) -> VaultError {
    VaultError::Refused {
        reason: reason.to_owned(),
    }
}
