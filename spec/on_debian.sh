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

. "$checkout/spec/debian_tree.sh"

inside() {
	chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 CI="${CI:-}" \
		WERROR="${WERROR:-}" \
		bash -ec "cd /checkout; $2"
}

# Puts the checkout and all packages into the tree.
complete_tree() {
	mount -t proc proc "$1/proc"
	mount -t devpts devpts "$1/dev/pts"
	give_network "$1"
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
	make_tree "$codename" "$tree.new" make
fi
complete_tree "$tree.new"
mv "$tree.new" "$tree"
# Specs make mount namespaces of their own, whose root has to be a mount.
mount --rbind "$tree" "$tree"
inside "$tree" "make ${3:-suite}"
