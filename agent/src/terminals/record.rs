//! What is remembered of a terminal beside its output: one JSON file, replaced by rename.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub id: String,
    pub title: String,
    pub cols: u16,
    pub rows: u16,
    pub cwd: Option<String>,
    pub command: Option<Vec<String>>,
    pub created_at_ms: i64,
    /// Set when the shell ended by itself; then nothing starts a new one unasked.
    pub exit_status: Option<i32>,
}

impl Record {
    pub fn load(path: &Path) -> io::Result<Self> {
        let record = serde_json::from_slice(&std::fs::read(path)?)?;
        Ok(record)
    }

    pub fn save(&self, folder: &Path) -> io::Result<()> {
        let path = folder.join(format!("{}.json", self.id));
        let temporary = path.with_extension("json.new");
        std::fs::write(&temporary, serde_json::to_vec(self)?)?;
        std::fs::rename(temporary, path)
    }
}
