#!/bin/sh
# Builds the dashboard where it has changed since the last build: `build`, `build-if-node` for
# those who can do without it, `test` for its types, its own tests and a build.
set -eu

cd -- "$(dirname -- "$0")/../dashboard"

die() {
    printf 'dashboard: %s\n' "$*" >&2
    exit 1
}

has_node() {
    command -v npm >/dev/null && node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' 2>/dev/null
}

install() {
    [ node_modules/.made -nt package-lock.json ] && return
    echo 'dashboard: installing what builds it'
    npm ci --no-audit --no-fund --loglevel=error || die 'npm could not install: its message is above.'
    touch node_modules/.made
}

is_built() {
    [ -f dist/index.html ] || return 1
    [ -z "$(find src index.html package-lock.json vite.config.ts tsconfig.json -newer dist/index.html -print -quit)" ]
}

build() {
    is_built && return
    install
    npm run --silent build
}

case "${1:-build}" in
build)
    has_node || die 'Node 20 or newer is needed.'
    build
    ;;
build-if-node)
    if has_node; then
        build || echo 'dashboard: not built; everything else runs without it' >&2
    fi
    ;;
test)
    has_node || die 'Node 20 or newer is needed.'
    install
    build
    npm run --silent test
    ;;
*) die "unknown argument '$1': say build, build-if-node or test." ;;
esac
