//! Hostile archives against `inspect` and `extract`.

use std::fs;
use std::io::{Cursor, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use optidev_agent::archive::{self, ArchiveError, Format, Limits, Summary};
use tar::{EntryType, Header};

/// A .tar.gz with whatever names one likes.
pub struct TarGz(GzEncoder<Vec<u8>>);

impl TarGz {
    pub fn new() -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::best()))
    }

    pub fn entry(
        mut self,
        kind: EntryType,
        name: &[u8],
        target: &[u8],
        mode: u32,
        content: &[u8],
    ) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.write_all(header.as_bytes()).unwrap();
        self.0.write_all(content).unwrap();
        self.0
            .write_all(&vec![
                0;
                content.len().next_multiple_of(512) - content.len()
            ])
            .unwrap();
        self
    }

    pub fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, name.as_bytes(), b"", 0o644, content)
    }

    pub fn link(self, name: &str, target: &str) -> Self {
        self.entry(
            EntryType::Symlink,
            name.as_bytes(),
            target.as_bytes(),
            0o777,
            b"",
        )
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(
            EntryType::Link,
            name.as_bytes(),
            target.as_bytes(),
            0o644,
            b"",
        )
    }

    pub fn done(mut self) -> Vec<u8> {
        self.0.write_all(&[0; 1024]).unwrap();
        self.0.finish().unwrap()
    }
}

pub fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer
            .start_file(*name, zip::write::SimpleFileOptions::default())
            .unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn extract_into(
    dir: &Path,
    archive: &[u8],
    format: Format,
    limits: &Limits,
) -> Result<Summary, ArchiveError> {
    archive::extract(
        Cursor::new(archive),
        format,
        limits,
        std::os::fd::AsFd::as_fd(&fs::File::open(dir).unwrap()),
    )
}

/// Both must say the same; nothing may appear outside the folder.
fn both(archive: &[u8], format: Format, limits: &Limits) -> Result<Summary, ArchiveError> {
    let inspected = archive::inspect(Cursor::new(archive), format, limits);
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let extracted = extract_into(&inner, archive, format, limits);
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        1,
        "written outside"
    );
    match (&inspected, &extracted) {
        (Ok(inspected), Ok(extracted)) => assert_eq!(inspected, extracted),
        (Err(inspected), Err(extracted)) => {
            assert_eq!(inspected.to_string(), extracted.to_string())
        }
        different => panic!("{different:?}"),
    }
    inspected
}

#[track_caller]
fn refused(archive: &[u8], format: Format, limits: &Limits, why: &str) {
    let error = both(archive, format, limits).unwrap_err();
    assert!(
        error.is_refusal() && error.to_string().contains(why),
        "{error}"
    );
}

#[test]
fn names_links_and_kinds_that_are_refused_in_tar() {
    let limits = Limits::default();
    let check = |archive: TarGz, why| {
        refused(
            &archive.file("after", b"x").done(),
            Format::TarGz,
            &limits,
            why,
        )
    };
    check(TarGz::new().file("../x", b""), "\"../x\" climbs out");
    check(TarGz::new().file("a/../../x", b""), "climbs out");
    check(TarGz::new().file("/etc/x", b""), "absolute");
    check(TarGz::new().file("C:/x", b""), "drive letter");
    check(TarGz::new().file("a\\x", b""), "backslash");
    check(TarGz::new().hard_link("h", "/etc/passwd"), "hard link");
    check(
        TarGz::new().entry(EntryType::Fifo, b"p", b"", 0o644, b""),
        "pipe",
    );
    check(
        TarGz::new().entry(EntryType::Char, b"c", b"", 0o644, b""),
        "device",
    );
    check(TarGz::new().link("l", "/etc"), "absolute");
    check(TarGz::new().link("a/l", "../../x"), "outside the archive");
    // Each looks harmless alone: d/l is the root, and m leads above it through d/l.
    check(
        TarGz::new().link("d/l", "..").link("m", "d/l/../x"),
        "after going down",
    );
    check(
        TarGz::new().link("l", "d").file("l/x", b"through"),
        "below something that is a link",
    );
    check(
        TarGz::new().file("l/x", b"").link("l", "d"),
        "different kinds",
    );
    check(
        TarGz::new()
            .link("l", "d")
            .entry(EntryType::Directory, b"l/", b"", 0o755, b""),
        "different kinds",
    );
    check(
        TarGz::new().file(&"d/".repeat(49), b"").entry(
            EntryType::GNULongName,
            b"x",
            b"",
            0,
            &b"d/".repeat(65),
        ),
        "nested too deeply",
    );
    check(
        TarGz::new().entry(EntryType::GNULongName, b"x", b"", 0, &[b'n'; 256]),
        "too long",
    );
    check(
        TarGz::new().entry(EntryType::GNULongName, b"x", b"", 0, b"a/../../x"),
        "climbs out",
    );
    let pax = b"16 path=../../x\n";
    check(
        TarGz::new().entry(EntryType::XHeader, b"x", b"", 0, pax),
        "climbs out",
    );
}

#[test]
fn names_links_and_kinds_that_are_refused_in_zip() {
    let limits = Limits::default();
    let check = |name: &str, why| {
        refused(
            &zip_of(&[("ok", b"x"), (name, b"x")]),
            Format::Zip,
            &limits,
            why,
        )
    };
    check("../x", "climbs out");
    check("a/../../x", "climbs out");
    check("/etc/x", "absolute");
    check("C:\\x", "backslash");
    check("c:/x", "drive letter");
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer
        .add_symlink("l", "../../etc", zip::write::SimpleFileOptions::default())
        .unwrap();
    let link = writer.finish().unwrap().into_inner();
    refused(&link, Format::Zip, &limits, "outside the archive");
    refused(
        b"PK\x05\x06nonsense",
        Format::Zip,
        &limits,
        "cannot be read",
    );
    refused(&zip_of(&[]), Format::Zip, &limits, "no files");
}

#[test]
fn bombs_are_refused() {
    let limits = Limits::default();
    let zeros = vec![0; 18 << 20];
    let ratio = TarGz::new().file("zeros", &zeros).done();
    assert!(ratio.len() < 600_000);
    refused(&ratio, Format::TarGz, &limits, "200 times");
    let zip = zip_of(&[("zeros", &zeros)]);
    refused(&zip, Format::Zip, &limits, "200 times");
    // Below the threshold the same ratio is nobody's concern.
    both(
        &zip_of(&[("few", &zeros[..15 << 20])]),
        Format::Zip,
        &limits,
    )
    .unwrap();

    let small = Limits {
        total: 1000,
        file: 600,
        entries: 3,
        compressed: 4000,
        ..Limits::default()
    };
    let noise: Vec<u8> = (0..900_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for (format, make) in [
        (
            Format::TarGz,
            (|files| files_tar(files)) as fn(&[(&str, &[u8])]) -> Vec<u8>,
        ),
        (Format::Zip, zip_of),
    ] {
        refused(
            &make(&[("f", &noise[..601])]),
            format,
            &small,
            "\"f\" unpacks to more than 600",
        );
        refused(
            &make(&[("a", &noise[..600]), ("b", &noise[..401])]),
            format,
            &small,
            "more than 1000",
        );
        both(
            &make(&[("a", &noise[..600]), ("b", &noise[..400])]),
            format,
            &small,
        )
        .unwrap();
        refused(
            &make(&[("a", b""), ("b", b""), ("c", b""), ("d", b"")]),
            format,
            &small,
            "more than 3 entries",
        );
        let tiny = Limits {
            compressed: 20,
            ..Limits::default()
        };
        refused(&make(&[("a", b"")]), format, &tiny, "at most 20");
    }
    // Headers that tar holds in memory.
    let name = TarGz::new()
        .entry(EntryType::GNULongName, b"x", b"", 0, &zeros[..8 << 20])
        .file("f", b"")
        .done();
    refused(&name, Format::TarGz, &limits, "header before entry");
    let pax = TarGz::new()
        .entry(EntryType::XHeader, b"x", b"", 0, &zeros[..8 << 20])
        .file("f", b"")
        .done();
    refused(&pax, Format::TarGz, &limits, "header before entry");
}

fn files_tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    files
        .iter()
        .fold(TarGz::new(), |tar, (name, content)| tar.file(name, content))
        .done()
}

#[test]
fn what_is_cut_off_is_refused() {
    let limits = Limits::default();
    let noise: Vec<u8> = (0..90_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let whole = files_tar(&[("a", &noise), ("b", &noise)]);
    for part in [10, whole.len() / 3, whole.len() / 2] {
        refused(&whole[..part], Format::TarGz, &limits, "cannot be read");
    }
    let mut zip = zip_of(&[("a", &noise)]);
    zip[200] ^= 0xff;
    refused(&zip, Format::Zip, &limits, "cannot be read");
}

#[test]
fn a_link_that_is_already_there_is_not_written_through() {
    let dir = tempfile::tempdir().unwrap();
    let (inner, outside) = (dir.path().join("inner"), dir.path().join("outside"));
    fs::create_dir(&inner).unwrap();
    fs::create_dir(&outside).unwrap();
    symlink("../outside", inner.join("d")).unwrap();
    symlink("../outside/f", inner.join("f")).unwrap();
    let limits = Limits::default();
    extract_into(
        &inner,
        &files_tar(&[("d/x", b"evil")]),
        Format::TarGz,
        &limits,
    )
    .unwrap_err();
    // A file of that name replaces the link itself.
    extract_into(&inner, &files_tar(&[("f", b"new")]), Format::TarGz, &limits).unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    // Nor through one that stays inside.
    fs::create_dir(inner.join("real")).unwrap();
    symlink("real", inner.join("alias")).unwrap();
    extract_into(
        &inner,
        &files_tar(&[("alias/x", b"evil")]),
        Format::TarGz,
        &limits,
    )
    .unwrap_err();
    assert_eq!(fs::read_dir(inner.join("real")).unwrap().count(), 0);
}

#[test]
fn ordinary_archives_come_out_right() {
    let long = format!("{}/{}", "l".repeat(120), "m".repeat(130));
    let archive = TarGz::new()
        .entry(
            EntryType::XGlobalHeader,
            b"pax_global_header",
            b"",
            0,
            b"16 comment=abcd\n",
        )
        .entry(EntryType::Directory, b"top/", b"", 0o755, b"")
        .entry(
            EntryType::Regular,
            b"top/run.sh",
            b"",
            0o6777,
            b"#!/bin/sh\n",
        )
        .entry(
            EntryType::GNULongName,
            b"x",
            b"",
            0,
            format!("top/{long}\0").as_bytes(),
        )
        .file("cut", b"long")
        .link("top/bin/tool", "../run.sh")
        .file("top/run2", b"first")
        .file("top/run2", b"last")
        .done();
    let summary = both(&archive, Format::TarGz, &Limits::default()).unwrap();
    assert_eq!(summary.root.as_deref(), Some("top"));
    let dir = tempfile::tempdir().unwrap();
    extract_into(dir.path(), &archive, Format::TarGz, &Limits::default()).unwrap();
    let top = dir.path().join("top");
    assert_eq!(
        fs::metadata(top.join("run.sh"))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777,
        0o755
    );
    assert_eq!(fs::read_to_string(top.join(long)).unwrap(), "long");
    assert_eq!(
        fs::read_to_string(top.join("bin/tool")).unwrap(),
        "#!/bin/sh\n"
    );
    assert_eq!(fs::read_to_string(top.join("run2")).unwrap(), "last");
}
