# shellcheck shell=bash
# What the scripts share: one line for each thing that is done, and why. Sourced, never run.
set -euo pipefail

# The versions of the checking tools, compiled from crates.io. One place, so that everybody runs the same.
# shellcheck disable=SC2034  # the scripts that source this file use them
CARGO_DENY=0.20.2 CARGO_MACHETE=0.9.2 TYPOS_CLI=1.52.0 CARGO_FUZZ=0.13.2
# And of the storage that tests run against.
# shellcheck disable=SC2034
S3S_FS=0.14.1

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TARGET=$(realpath -m "${CARGO_TARGET_DIR:-$ROOT/target}")
# shellcheck disable=SC2034  # the scripts that source this file use it
TOOLS=$TARGET/tools
PATH=$TOOLS/bin:$TOOLS/node/bin:$PATH
export PATH

# say WHAT WHY: a line that tells the reader what happens now, and why.
say() { printf '  %-44s %s\n' "$1" "${2:+# $2}" >&2; }

# die WHAT REMEDY: what went wrong, and what to do.
die() {
    printf '\nerror: %s\n' "$1" >&2
    printf '  what to do: %s\n' "$2" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# as_root COMMAND...: runs it with the rights that installing packages takes, and asks nothing.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        die "installing packages needs root" "run this as root, or run 'sudo -v' first so that sudo does not ask for a password"
    fi
}

# quietly COMMAND...: shows the output only when the command fails.
quietly() {
    local log code=0
    log=$(mktemp)
    # In a subshell, so that what ends the command does not end the script before its output is shown.
    ("$@") </dev/null >"$log" 2>&1 || code=$?
    if [ "$code" != 0 ]; then
        tail -n 40 "$log" >&2
    fi
    rm -f "$log"
    return "$code"
}

# debian WHY PACKAGE...: installs Debian packages without a question.
debian() {
    local why=$1
    shift
    have apt-get || die "these packages are missing and there is no apt-get here: $*" \
        "install them with this system's package manager ($why), then run the same make command again"
    say "apt-get install $*" "$why"
    as_root true
    # Third-party sources may be unreachable; what matters is whether the install succeeds.
    quietly as_root apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update ||
        say "apt-get update failed in part" "going on with the package lists there are"
    quietly as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get install -y -q \
        --no-install-recommends -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" ||
        die "apt-get install $* failed" "see the lines above; try 'apt-get update' and the same install by hand"
}

# uninstall_live NAMESPACE: takes away what scripts/cluster-install made there, and the containers.
uninstall_live() {
    helm uninstall optidev -n "$1" >/dev/null 2>&1 || true
    kubectl delete namespace "$1" --wait=false --ignore-not-found >/dev/null 2>&1 || true
    kubectl delete namespace,persistentvolume -l "optidev.dev/install=$1.optidev" --wait=false >/dev/null 2>&1 || true
    kubectl delete persistentvolume -l "optidev.test/of=$1" --wait=false >/dev/null 2>&1 || true
    kubectl delete storageclass "$1" --ignore-not-found >/dev/null 2>&1 || true
}
