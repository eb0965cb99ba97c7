//! The `/etc` that containers see: a user called dev, no name servers, and places to mount certificates on.

use std::fs;
use std::path::Path;

use crate::features::containers::runtime::RuntimeError;

const FILES: [(&str, &str); 9] = [
    (
        "passwd",
        "root:x:0:0:root:/root:/usr/sbin/nologin\n\
         dev:x:1000:1000:Developer:/home/dev:/bin/bash\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    ("group", "root:x:0:\ndev:x:1000:\nnogroup:x:65534:\n"),
    ("hostname", "optidev\n"),
    ("hosts", "127.0.0.1 localhost optidev\n::1 localhost\n"),
    (
        "nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files\n",
    ),
    // Names are resolved by the egress role; there is nothing to ask here.
    ("resolv.conf", ""),
    (
        "profile",
        "[ -n \"$BASH_VERSION\" ] && [ -r /etc/bash.bashrc ] && . /etc/bash.bashrc\n",
    ),
    (
        "bash.bashrc",
        "case $- in *i*) ;; *) return ;; esac\n\
         PS1='\\[\\e[1;32m\\]\\u@\\h\\[\\e[0m\\]:\\[\\e[1;34m\\]\\w\\[\\e[0m\\]\\$ '\n\
         alias ls='ls --color=auto' grep='grep --color=auto' ll='ls -l'\n\
         HISTSIZE=10000\nHISTFILESIZE=10000\nshopt -s histappend checkwinsize\n",
    ),
    ("shells", "/bin/sh\n/bin/bash\n"),
];

/// Host folders that are shown in `/etc` as they are: certificates, and links that Debian's commands go through.
/// Of `ssl` not all: private keys lie beside the certificates.
pub const FOLDERS: [&str; 4] = ["ssl/certs", "ca-certificates", "alternatives", "terminfo"];
/// Host files that are shown in `/etc` as they are.
pub const HOST_FILES: [&str; 7] = [
    "ssl/openssl.cnf",
    "ld.so.cache",
    "ld.so.conf",
    "services",
    "protocols",
    "inputrc",
    "debian_version",
];

/// Writes the folder; safe to call again while containers use it.
pub fn write(folder: &Path) -> Result<(), RuntimeError> {
    let failed =
        |error: std::io::Error| RuntimeError::io(format!("writing {}", folder.display()), error);
    super::volume::make_folder(folder, 0o755).map_err(failed)?;
    for (name, content) in FILES {
        let path = folder.join(name);
        if fs::read_to_string(&path).is_ok_and(|present| present == content) {
            continue;
        }
        let half = folder.join(format!(".{name}.new"));
        fs::write(&half, content).map_err(failed)?;
        super::volume::set_mode(&half, 0o644).map_err(failed)?;
        fs::rename(&half, &path).map_err(failed)?;
    }
    for name in ["ssl"].into_iter().chain(FOLDERS) {
        super::volume::make_folder(&folder.join(name), 0o755).map_err(failed)?;
    }
    for name in HOST_FILES {
        let path = folder.join(name);
        if !path.exists() {
            fs::write(&path, "").map_err(failed)?;
            super::volume::set_mode(&path, 0o644).map_err(failed)?;
        }
    }
    Ok(())
}
