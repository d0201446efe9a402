#!/bin/sh
# Installs the servers that the tests run against (Debian 12). Does nothing when they are there.
# Their daemons are not started: the tests run private instances.
set -eu

missing=
for package in dovecot-core dovecot-imapd dovecot-pop3d dovecot-lmtpd python3-venv; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "The tests need these packages. As root: apt-get install$missing" >&2
    exit 1
fi

# Policy scripts answer whether a package may start its daemon; 101 forbids it. An existing one is kept.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
install() {
    # shellcheck disable=SC2086  # the names are separate words
    apt-get install --yes --quiet=2 --no-install-recommends $missing >/dev/null
}
# The package lists may be absent or too old; only then are they fetched.
install 2>/dev/null || { apt-get update --quiet=2 && install; }
