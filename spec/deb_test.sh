#!/usr/bin/env bash
# Tests the Debian packages in a bare tree of this Debian release: installs, enables, serves, upgrades
# under load, removes, purges. As root:
#
#     spec/deb_test.sh TREE PREVIOUS DEBS
#
# PREVIOUS and DEBS are directories with the packages of two versions. The tree TREE is made with
# debootstrap if it is not there, and used as a copy.
set -euo pipefail
tree=$1 previous=$2 debs=$3
here=$(cd "$(dirname "$0")/.." && pwd)

if [ -z "${IN_NAMESPACES:-}" ]; then
	root=$([ "$(id -u)" = 0 ] || echo sudo)
	exec $root env IN_NAMESPACES=1 unshare --mount --pid --fork --kill-child --mount-proc "$0" "$@"
fi
. "$here/spec/debian_mirror.sh"

inside() {
	chroot "$copy" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

if [ ! -d "$tree" ]; then
	rm -rf "$tree.new"
	mkdir -p "$tree.new"
	debootstrap --variant=minbase "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$tree.new" "$(debian_mirror)"
	echo force-unsafe-io >"$tree.new/etc/dpkg/dpkg.cfg.d/unsafe-io"
	printf '#!/bin/sh\nexit 101\n' >"$tree.new/usr/sbin/policy-rc.d"
	chmod +x "$tree.new/usr/sbin/policy-rc.d"
	mv "$tree.new" "$tree"
fi
copy=$tree.used
rm -rf "$copy"
cp -a "$tree" "$copy"
mount --rbind "$copy" "$copy"
mount -t proc proc "$copy/proc"
cp /etc/resolv.conf "$copy/etc/"
apt-config dump | grep -E '^Acquire::(https?|Check|Retries)' >"$copy/etc/apt/apt.conf.d/90host" || true
mkdir "$copy/packages"
cp -r "$previous" "$copy/packages/previous"
cp -r "$debs" "$copy/packages/new"
rm -f "$copy"/packages/*/*-dbgsym_*.deb
cp -r "$here/debian/tests" "$copy/packages/tests"
cp "$here/spec/deb_in_tree.sh" "$copy/packages/tests"

echo "== installing from the network"
inside apt-get update -q >/dev/null
inside sh -c 'apt-get install -y -q --no-install-recommends /packages/previous/*.deb openssl lua-sec' >"$copy/packages/log" 2>&1 ||
	{ tail -n 30 "$copy/packages/log" >&2; exit 1; }
# The rest needs no network, and Prosody's ports are free in one of its own.
export copy
export -f inside
unshare --net bash -ec 'ip link set lo up; inside /packages/tests/deb_in_tree.sh'
rm -rf "$copy/packages"
