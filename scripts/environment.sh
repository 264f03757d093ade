#!/bin/sh
# Makes .venv from the lock, and again only when the lock, the interpreter or the checkout's place
# has changed. `environment.sh` installs what runs Capataz, `environment.sh dev` what tests it too.
set -eu

cd -- "$(dirname -- "$0")/.."

die() {
    printf 'environment: %s\n' "$*" >&2
    exit 1
}

# The interpreter beneath any active venv, since that venv may be the one to be replaced.
find_python() {
    for candidate in "${PYTHON:-}" python3 python3.11 python3.12 python3.13; do
        [ -n "$candidate" ] || continue
        "$candidate" -c 'if True:
            import sys
            print(sys._base_executable)
            sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
    done
    return 1
}

# Debian packages one half of venv, ensurepip, apart from Python.
need_venv() {
    has_venv && return
    [ -e /etc/debian_version ] || die "$python lacks venv and ensurepip: install Python with both."
    [ "$(id -u)" -eq 0 ] || die "$python lacks venv: as root, 'apt-get install python3-venv'."
    echo 'environment: installing python3-venv'
    {
        apt-get -q update
        DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends python3-venv
    } </dev/null || die "apt-get could not install python3-venv: its message is above."
    has_venv || die "$python still lacks venv: name another interpreter with PYTHON=."
}

has_venv() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null
}

# What an environment was made from. A venv holds absolute paths, so its place counts.
stamp_of() {
    "$python" - "$PWD" "$1" <<'END'
import hashlib, pathlib, sys

place, lock = sys.argv[1:]
digest = hashlib.sha256(pathlib.Path(lock).read_bytes()).hexdigest()
print(place, sys.version, digest, sep="\n")
END
}

is_made_from() {
    [ -x .venv/bin/python ] && [ -r "$2" ] && [ "$(cat -- "$2")" = "$(stamp_of "$1")" ]
}

install_lock() {
    echo "environment: installing $1 into .venv"
    .venv/bin/python -m pip install -qq --no-input --disable-pip-version-check \
        --require-hashes -r "$1" </dev/null || die "pip could not install $1: its message is above."
    # Renamed into place, so that an interrupted install leaves no stamp.
    stamp_of "$1" >"$2.new"
    mv -- "$2.new" "$2"
}

python=$(find_python) ||
    die "Python 3.11 or newer is needed: on Debian 12, as root, 'apt-get install python3'."
run_stamp=.venv/made-from-requirements
dev_stamp=.venv/made-from-requirements-dev

# Two calls at once, from a `make run` beside a `make test`, take turns.
if command -v flock >/dev/null; then
    exec 9<requirements.txt
    flock 9
fi

if ! is_made_from requirements.txt "$run_stamp"; then
    need_venv
    "$python" -m venv --clear .venv
    install_lock requirements.txt "$run_stamp"
fi
case "${1:-run}" in
run) ;;
dev) is_made_from requirements-dev.txt "$dev_stamp" || install_lock requirements-dev.txt "$dev_stamp" ;;
*) die "unknown argument '$1': say nothing, or dev." ;;
esac
