//! A workbench in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use bytes::Bytes;
use optidev_agent::wire;

use super::super::workbench::{Answer, Workbench};
use crate::clients::agent::AgentError;

/// Files in memory; commands that answer with their own text, except `sleep`, which never ends.
#[derive(Default)]
pub struct Memory {
    pub files: Mutex<BTreeMap<String, (Vec<u8>, u64)>>,
    pub links: Mutex<BTreeSet<String>>,
    count: Mutex<u64>,
    pub commands: Mutex<Vec<String>>,
}

impl Memory {
    pub fn put(&self, path: &str, content: &str) {
        let mut count = self.count.lock().unwrap();
        *count += 1;
        self.files
            .lock()
            .unwrap()
            .insert(path.to_owned(), (content.as_bytes().to_vec(), *count));
    }

    pub fn text(&self, path: &str) -> Option<String> {
        let files = self.files.lock().unwrap();
        files
            .get(path)
            .map(|(content, _)| String::from_utf8(content.clone()).unwrap())
    }
}

fn refused(status: u16) -> AgentError {
    AgentError::Refused {
        status,
        detail: format!("refused with {status}"),
        etag: None,
    }
}

impl Workbench for Memory {
    fn list<'a>(&'a self, path: &'a str) -> Answer<'a, wire::Listing> {
        Box::pin(async move {
            let mut entries: BTreeMap<String, wire::FileKind> = BTreeMap::new();
            let below = format!("{path}/");
            for whole in self.files.lock().unwrap().keys() {
                if let Some(rest) = whole.strip_prefix(&below) {
                    match rest.split_once('/') {
                        Some((folder, _)) => entries.insert(folder.to_owned(), wire::FileKind::Dir),
                        None => entries.insert(rest.to_owned(), wire::FileKind::File),
                    };
                }
            }
            for whole in self.links.lock().unwrap().iter() {
                if let Some(rest) = whole.strip_prefix(&below) {
                    entries.insert(rest.to_owned(), wire::FileKind::Symlink);
                }
            }
            let entries = entries
                .into_iter()
                .map(|(name, kind)| wire::Entry {
                    name,
                    kind,
                    size: 1,
                    modified_ms: 0,
                    mode: 0o644,
                    target_kind: None,
                })
                .collect();
            Ok(wire::Listing {
                path: path.to_owned(),
                entries,
                truncated: false,
            })
        })
    }

    fn read<'a>(&'a self, path: &'a str) -> Answer<'a, Option<(Bytes, String)>> {
        Box::pin(async move {
            let files = self.files.lock().unwrap();
            Ok(files
                .get(path)
                .map(|(content, tag)| (Bytes::from(content.clone()), tag.to_string())))
        })
    }

    fn write<'a>(
        &'a self,
        path: &'a str,
        content: Bytes,
        expected: Option<&'a str>,
    ) -> Answer<'a, String> {
        Box::pin(async move {
            let now = self
                .files
                .lock()
                .unwrap()
                .get(path)
                .map(|(_, tag)| tag.to_string());
            if now.as_deref() != expected {
                return Err(refused(412));
            }
            self.put(path, std::str::from_utf8(&content).unwrap());
            Ok(self.count.lock().unwrap().to_string())
        })
    }

    fn delete<'a>(&'a self, path: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            self.files
                .lock()
                .unwrap()
                .remove(path)
                .map(|_| ())
                .ok_or_else(|| refused(404))
        })
    }

    fn search<'a>(&'a self, _: &'a wire::SearchQuery) -> Answer<'a, wire::SearchResult> {
        Box::pin(async { Ok(wire::SearchResult::default()) })
    }

    fn run<'a>(&'a self, request: &'a wire::ExecRequest) -> Answer<'a, wire::ExecResult> {
        Box::pin(async move {
            let command = request.command.join(" ");
            self.commands.lock().unwrap().push(command.clone());
            if command.contains("sleep") {
                std::future::pending::<()>().await;
            }
            Ok(wire::ExecResult {
                exit_code: Some(0),
                stdout: command,
                ..wire::ExecResult::default()
            })
        })
    }
}
