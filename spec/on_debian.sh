#!/usr/bin/env bash
# Runs all specs on another Debian release, in a tree of its own:
#
#     spec/on_debian.sh CODENAME DIRECTORY [TARGETS]
#
# TARGETS of the Makefile (default: suite).
#
# The tree is made with debootstrap, from the mirror that this machine's apt uses, and
# stays in DIRECTORY for the next time. The checkout is copied into it and built there.
#
# It runs in namespaces of its own, so all its mounts and processes end with it.
set -euo pipefail
codename=$1 tree=$2
checkout=$(cd "$(dirname "$0")/.." && pwd)

if [ -z "${IN_NAMESPACES:-}" ]; then
	root=$([ "$(id -u)" = 0 ] || echo sudo)
	exec $root env IN_NAMESPACES=1 CI="${CI:-}" WERROR="${WERROR:-}" \
		unshare --mount --pid --fork --kill-child --mount-proc "$0" "$@"
fi

. "$checkout/spec/debian_mirror.sh"

make_tree() {
	local from script=/usr/share/debootstrap/scripts/$codename
	from=$(debian_mirror)
	# A release that is newer than this machine's debootstrap is made like sid.
	[ -e "$script" ] || script=sid
	debootstrap --variant=minbase --include=make "$codename" "$1" "$from" "$script"
	echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/unsafe-io"
	# The package of a server starts the server if it can.
	printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
	chmod +x "$1/usr/sbin/policy-rc.d"
}

inside() {
	chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 CI="${CI:-}" \
		WERROR="${WERROR:-}" \
		bash -ec "cd /checkout; $2"
}

# Puts the checkout and all packages into the tree.
complete_tree() {
	mount -t proc proc "$1/proc"
	mount -t devpts devpts "$1/dev/pts"
	# Network and apt need the same settings as on this machine.
	cp /etc/resolv.conf /etc/hosts "$1/etc/"
	apt-config dump | grep -E '^Acquire::(https?|Check|Retries)' >"$1/etc/apt/apt.conf.d/90host" || true
	rm -rf "$1/checkout"
	mkdir "$1/checkout"
	tar -C "$checkout" --exclude=./build --exclude=./.git --exclude='*.so' -c . | tar -C "$1/checkout" -x
	inside "$1" 'make deps-test LINTERS= BROWSER='
}

mkdir -p "$(dirname "$tree")"
exec 9>"$tree.lock"
flock 9
# The tree gets its name when it is complete, so an interrupted one is made anew.
rm -rf "$tree.new"
if [ -d "$tree" ]; then
	mv "$tree" "$tree.new"
else
	make_tree "$tree.new"
fi
complete_tree "$tree.new"
mv "$tree.new" "$tree"
# Specs make mount namespaces of their own, whose root has to be a mount.
mount --rbind "$tree" "$tree"
inside "$tree" "make ${3:-suite}"
