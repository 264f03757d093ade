#!/bin/sh
# The browser of the tests: Debian's own, installed where it is missing and this is root.
set -eu

command -v chromium >/dev/null && exit
if [ ! -e /etc/debian_version ] || [ "$(id -u)" -ne 0 ]; then
    echo "chromium: the tests of the dashboard need it: as root, 'apt-get install chromium'." >&2
    exit 1
fi
echo 'chromium: installing it for the tests of the dashboard'
{
    apt-get -q update
    DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends chromium
} </dev/null
