//! Which container has which number, and so which host user.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::volume::Folders;
use crate::features::containers::runtime::RuntimeError;
use crate::kernel::ContainerId;

/// A container's number. It is kept with the volume, whose files belong to that user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// From 1.
    pub number: u32,
    /// The host user, when the server may choose one.
    pub uid: Option<u32>,
}

/// All numbers in use.
pub struct Slots {
    used: Mutex<BTreeMap<u32, ContainerId>>,
    uid_base: Option<u32>,
}

/// Most containers of one machine; 16 bits of user ids, as subordinate id ranges have.
const MOST: u32 = 65_535;

impl Slots {
    /// Reads the numbers of all volumes.
    pub fn open(folders: &Folders, uid_base: u32) -> Result<Self, RuntimeError> {
        let mut used = BTreeMap::new();
        for container in folders.containers()? {
            let meta = folders.container(container).read_meta()?;
            let Some(slot) = meta.and_then(|meta| meta.slot) else {
                continue;
            };
            if let Some(other) = used.insert(slot, container) {
                return Err(RuntimeError::Machine(format!(
                    "{other} and {container} have the same number {slot} in their meta.json, so they would share a \
                     host user. Remove the \"slot\" of one that was copied, and let its files be given to a new user."
                )));
            }
        }
        let uid_base = rustix::process::geteuid().is_root().then_some(uid_base);
        Ok(Self {
            used: Mutex::new(used),
            uid_base,
        })
    }

    /// The number of `container`: the one it has, or the lowest that is free.
    pub fn of(&self, container: ContainerId) -> Result<Slot, RuntimeError> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let known = used
            .iter()
            .find(|(_, owner)| **owner == container)
            .map(|(number, _)| *number);
        let number = known.or_else(|| (1..=MOST).find(|number| !used.contains_key(number)));
        let number = number.ok_or_else(|| {
            RuntimeError::Machine(format!(
                "all {MOST} container numbers of this machine are in use"
            ))
        })?;
        used.insert(number, container);
        let uid = match self.uid_base {
            None => None,
            Some(base) => Some(base.checked_add(number).ok_or_else(|| {
                RuntimeError::Machine(format!(
                    "[runtime.local] uid_base = {base} leaves no user ids above it; lower it"
                ))
            })?),
        };
        Ok(Slot { number, uid })
    }

    /// The volume is gone: its number may be used again.
    pub fn free(&self, container: ContainerId) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, owner| *owner != container);
    }
}
