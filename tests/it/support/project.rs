//! Real input: the react-ts template of npm `create-vite`, as an archive that a person would upload.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{path_variable, target_dir};

/// The version of create-vite; its template names versions of Vite and React in turn.
pub const CREATE_VITE: &str = "9.3.0";

/// The heading of the template's page, which the tests have the assistant change; in `src/App.tsx`.
pub const HEADING: &str = "<h1>Get started</h1>";

/// The template as `.tar.gz`, made once and kept in the target folder. Its files stand at the archive's root.
///
/// # Panics
/// When npm cannot run create-vite, with npm's words.
pub fn react_ts_archive() -> Vec<u8> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let kept = kept_path();
    if let Ok(bytes) = fs::read(&kept) {
        return bytes;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("npm")
        .args([
            "exec",
            "--yes",
            "--package",
            &format!("create-vite@{CREATE_VITE}"),
            "--",
        ])
        .args([
            "create-vite",
            "app",
            "--template",
            "react-ts",
            "--no-interactive",
        ])
        .current_dir(folder.path())
        .env("PATH", path_variable())
        .stdin(std::process::Stdio::null())
        .output()
        .expect("npm does not start: run `scripts/need node`");
    let app = folder.path().join("app");
    assert!(
        output.status.success() && app.join("package.json").exists(),
        "create-vite failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    // Written beside and renamed, so that a broken run leaves no half archive.
    let partial = kept.with_extension("partial");
    let mut archive = tar::Builder::new(GzEncoder::new(
        File::create(&partial).unwrap(),
        Compression::default(),
    ));
    archive.append_dir_all(".", &app).unwrap();
    archive.into_inner().unwrap().finish().unwrap();
    fs::rename(&partial, &kept).unwrap();
    fs::read(&kept).unwrap()
}

/// The same as `.zip`.
///
/// # Panics
/// As [`react_ts_archive`].
pub fn react_ts_zip() -> Vec<u8> {
    let bytes = react_ts_archive();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.header().entry_type().is_file() {
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(path.trim_start_matches("./"), options)
                .unwrap();
            std::io::copy(&mut entry, &mut zip).unwrap();
        }
    }
    zip.finish().unwrap().into_inner()
}

fn kept_path() -> PathBuf {
    let folder = target_dir().join("test-input");
    fs::create_dir_all(&folder).unwrap();
    folder.join(format!("create-vite-{CREATE_VITE}-react-ts.tar.gz"))
}

#[test]
fn the_template_has_what_the_tests_rely_on() {
    let bytes = react_ts_archive();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
    let mut app = String::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().ends_with("src/App.tsx") {
            std::io::Read::read_to_string(&mut entry, &mut app).unwrap();
        }
    }
    assert!(
        app.contains(HEADING),
        "src/App.tsx has another heading now:\n{app}"
    );
}
