//! The jobs that change no file by themselves: looking, and running commands.

use optidev_agent::wire::{ExecRequest, ExecResult, FileKind, SearchQuery};

use super::job::Job;
use super::path::ProjectPath;
use super::workbench::{Workbench, sentence};

/// Most bytes of a tool's output that the model gets.
pub const LONGEST_OUTPUT: usize = 30_000;
/// Most entries of a folder.
const ENTRIES: usize = 500;

/// Does a job that changes no file by itself; gives the text for the model.
///
/// # Errors
/// A sentence for the model.
pub async fn perform(bench: &dyn Workbench, folder: &str, job: &Job) -> Result<String, String> {
    match job {
        Job::List(path) => list(bench, path).await,
        Job::Read {
            path,
            offset,
            limit,
        } => {
            let (text, _) = text_file(bench, path).await?;
            Ok(lines(&text, *offset, *limit))
        }
        Job::Search { query, .. } => search(bench, folder, query).await,
        Job::Run {
            command,
            timeout_ms,
        } => {
            let request = ExecRequest {
                command: vec!["sh".to_owned(), "-c".to_owned(), command.clone()],
                cwd: Some(folder.to_owned()),
                timeout_ms: Some(*timeout_ms),
                ..ExecRequest::default()
            };
            let result = bench
                .run(&request)
                .await
                .map_err(|error| sentence(&error))?;
            report(&result)
        }
        Job::Write { .. } | Job::Edit { .. } => Err("This tool changes a file.".to_owned()),
    }
}

async fn list(bench: &dyn Workbench, path: &ProjectPath) -> Result<String, String> {
    let listing = bench
        .list(path.whole())
        .await
        .map_err(|error| sentence(&error))?;
    if listing.entries.is_empty() {
        return Ok("(an empty folder)".to_owned());
    }
    let mut out = String::new();
    for entry in listing.entries.iter().take(ENTRIES) {
        out.push_str(&match entry.kind {
            FileKind::Dir => format!("{}/\n", entry.name),
            FileKind::File => format!("{} ({} bytes)\n", entry.name, entry.size),
            FileKind::Symlink => format!("{} (link)\n", entry.name),
            FileKind::Other => format!("{} (special)\n", entry.name),
        });
    }
    if listing.entries.len() > ENTRIES || listing.truncated {
        out.push_str("... there is more in this folder than is listed ...\n");
    }
    Ok(shorten(&out))
}

/// A file's text and entity tag.
///
/// # Errors
/// A sentence: it is not there, too large, or no text.
pub async fn text_file(
    bench: &dyn Workbench,
    path: &ProjectPath,
) -> Result<(String, String), String> {
    let (content, etag) = bench
        .read(path.whole())
        .await
        .map_err(|error| sentence(&error))?
        .ok_or_else(|| {
            format!(
                "There is no file {:?}. List the folder to see what is there.",
                path.relative()
            )
        })?;
    let text = String::from_utf8(content.into())
        .ok()
        .filter(|text| !text.contains('\0'));
    let text = text.ok_or_else(|| {
        format!(
            "{:?} is not a text file, and the tools read text only.",
            path.relative()
        )
    })?;
    Ok((text, etag))
}

/// Some lines of a text, with a note when there are more.
fn lines(text: &str, offset: usize, limit: usize) -> String {
    let total = text.lines().count();
    if text.is_empty() {
        return "(an empty file)".to_owned();
    }
    if offset > total {
        return format!("(the file has {total} lines)");
    }
    let mut out = String::new();
    let mut next = offset;
    for line in text.split_inclusive('\n').skip(offset - 1).take(limit) {
        if out.len() + line.len() > LONGEST_OUTPUT * 2 {
            if out.is_empty() {
                out.push_str(&shorten(line));
                next += 1;
            }
            break;
        }
        out.push_str(line);
        next += 1;
    }
    if next <= total {
        if !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&format!(
            "... lines {offset} to {} of {total}; read on with offset {next} ...\n",
            next - 1
        ));
    }
    out
}

async fn search(
    bench: &dyn Workbench,
    folder: &str,
    query: &SearchQuery,
) -> Result<String, String> {
    let found = bench
        .search(query)
        .await
        .map_err(|error| sentence(&error))?;
    if found.matches.is_empty() {
        return Ok(format!("Nothing found in {} files.", found.files_searched));
    }
    let mut out = String::new();
    for one in &found.matches {
        let path = one
            .path
            .strip_prefix(folder)
            .and_then(|rest| rest.strip_prefix('/'))
            .unwrap_or(&one.path);
        out.push_str(&format!("{path}:{}: {}\n", one.line, one.text));
    }
    if found.truncated {
        out.push_str("... there is more; search for something narrower ...\n");
    }
    Ok(shorten(&out))
}

/// What a command did. It failed when it said so by its exit code.
fn report(result: &ExecResult) -> Result<String, String> {
    let mut out = String::new();
    for (name, text, cut) in [
        ("", &result.stdout, result.stdout_truncated),
        ("stderr:\n", &result.stderr, result.stderr_truncated),
    ] {
        if text.is_empty() {
            continue;
        }
        out.push_str(name);
        out.push_str(text);
        if !text.ends_with('\n') {
            out.push('\n');
        }
        if cut {
            out.push_str("... the rest of this output was not kept ...\n");
        }
    }
    let mut out = shorten(&out);
    let end = match (result.timed_out, result.exit_code, result.signal) {
        (true, _, _) => format!("(ended after {} ms: the time limit)", result.duration_ms),
        (false, Some(code), _) => format!("(exit code {code})"),
        (false, None, Some(signal)) => format!("(ended by signal {signal})"),
        (false, None, None) => "(ended)".to_owned(),
    };
    out.push_str(&end);
    if result.exit_code == Some(0) && !result.timed_out {
        Ok(out)
    } else {
        Err(out)
    }
}

/// Beginning and end of a long text.
pub fn shorten(text: &str) -> String {
    if text.len() <= LONGEST_OUTPUT {
        return text.to_owned();
    }
    let mut head = LONGEST_OUTPUT / 2;
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    let mut tail = text.len() - LONGEST_OUTPUT / 2;
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    let (head, tail, left) = (
        text.get(..head).unwrap_or(""),
        text.get(tail..).unwrap_or(""),
        tail - head,
    );
    format!("{head}\n... {left} bytes in the middle are left out ...\n{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_read_in_parts() {
        let text: String = (1..=3_000).map(|n| format!("line {n}\n")).collect();
        let first = lines(&text, 1, 2_000);
        assert!(
            first.ends_with(
                "line 2000\n... lines 1 to 2000 of 3000; read on with offset 2001 ...\n"
            ),
            "{}",
            &first[first.len() - 100..]
        );
        assert!(lines(&text, 2_999, 10).ends_with("line 2999\nline 3000\n"));
        assert_eq!(lines(&text, 4_000, 1), "(the file has 3000 lines)");
        assert_eq!(lines("", 1, 1), "(an empty file)");
        let wide = format!("{}\nshort\n", "x".repeat(200_000));
        let cut = lines(&wide, 1, 10);
        assert!(cut.len() < 100_000 && cut.contains("read on with offset 2"));
    }

    #[test]
    fn output_keeps_head_and_tail() {
        let text = format!("begin{}end", "ü".repeat(50_000));
        let short = shorten(&text);
        assert!(
            short.len() < LONGEST_OUTPUT + 100
                && short.starts_with("begin")
                && short.ends_with("end")
        );
        let failed = ExecResult {
            exit_code: Some(2),
            stderr: "no".into(),
            ..ExecResult::default()
        };
        assert_eq!(
            report(&failed),
            Err("stderr:\nno\n(exit code 2)".to_owned())
        );
        let slow = ExecResult {
            timed_out: true,
            duration_ms: 5,
            ..ExecResult::default()
        };
        assert!(report(&slow).unwrap_err().contains("time limit"));
    }
}
