#!/usr/bin/env bash
# Tests the Debian packages on a bare Debian release, as root:
#
#     spec/deb_test.sh CODENAME DIRECTORY ARCHIVE PACKAGING
#
# The packages are built in a tree that has only their Build-Depends, checked with lintian, and built
# once more in another environment, which must give the same bytes. Then they are installed in a bare
# tree over a previous version, serve, and are removed; debian/tests runs last.
#
# ARCHIVE and PACKAGING are those of spec/deb.sh. The trees are made with debootstrap, and stay in
# DIRECTORY for the next time.
set -euo pipefail
codename=$1 folder=$2 archive=$3 packaging=$4
here=$(cd "$(dirname "$0")/.." && pwd)

if [ -z "${IN_NAMESPACES:-}" ]; then
	root=$([ "$(id -u)" = 0 ] || echo sudo)
	exec $root env IN_NAMESPACES=1 unshare --mount --pid --fork --kill-child --mount-proc "$0" "$@"
fi
. "$here/spec/debian_tree.sh"

# Runs a command in a tree: inside TREE COMMAND…
inside() {
	chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
		DEBIAN_FRONTEND=noninteractive "${@:2}"
}

# The same, with the output only if it fails.
quietly() {
	inside "$@" >"$folder/log" 2>&1 || { tail -n 40 "$folder/log" >&2; exit 1; }
}

# Makes a tree as a copy of another one: tree_from SOURCE TREE
tree_from() {
	rm -rf "$2"
	cp -a "$1" "$2"
	mount --rbind "$2" "$2"
	mount -t proc proc "$2/proc"
	give_network "$2"
	quietly "$2" apt-get update -q
}

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
bare=$folder/bare builder=$folder/builder used=$folder/used packages=$folder/packages
if [ ! -d "$bare" ]; then
	rm -rf "$bare.new"
	make_tree "$codename" "$bare.new" >"$folder/log"
	mv "$bare.new" "$bare"
fi

echo "== $codename: building with Build-Depends only"
tree_from "$bare" "$builder"
mkdir "$builder/work"
cp "$here/spec/deb.sh" "$archive" "$builder/work"
cp "$packaging" "$builder/work/packaging.tar"
inside "$builder" sh -ec 'mkdir /work/needs && tar -C /work/needs -xf /work/packaging.tar'
quietly "$builder" apt-get build-dep -y -q --no-install-recommends /work/needs
quietly "$builder" apt-get install -y -q --no-install-recommends lintian
build() {
	inside "$builder" /work/deb.sh "/work/$(basename "$archive")" /work/packaging.tar "$@"
}
build /work/new
build /work/previous 0.0.1 >"$folder/log"

echo "== building the source package again, with another user, path, umask, locale and time zone"
inside "$builder" install -d -o nobody /work/somewhere/else
chroot --userspec=nobody:nogroup "$builder" env -i PATH=/usr/bin:/bin HOME=/nonexistent LC_ALL=C TZ=Asia/Tokyo \
	DEB_BUILD_OPTIONS=parallel=2 bash -ec '
		cd /work/somewhere/else
		umask 077
		dpkg-source -x /work/new/*.dsc source
		cd source
		dpkg-buildpackage -us -uc -b' >"$folder/log" 2>&1 || { tail -n 40 "$folder/log" >&2; exit 1; }
inside "$builder" bash -ec 'for package in /work/new/*.deb; do
	cmp "$package" "/work/somewhere/else/$(basename "$package")"
done'
rm -rf "$packages"
mkdir "$packages"
cp -r "$builder/work/new" "$builder/work/previous" "$packages"
rm -f "$packages"/*/*-dbgsym_*.deb

echo "== installing on a bare $codename"
tree_from "$bare" "$used"
mkdir "$used/packages"
cp -r "$packages"/* "$here/debian/tests" "$used/packages"
cp "$here/spec/deb_in_tree.sh" "$used/packages/tests"
quietly "$used" sh -c 'apt-get install -y -q --no-install-recommends /packages/previous/*.deb openssl lua-sec'
# The rest needs no network, and Prosody's ports are free in one of its own.
export used
export -f inside
unshare --net bash -ec 'ip link set lo up; inside "$used" /packages/tests/deb_in_tree.sh'

echo "== debian/tests, run by autopkgtest"
quietly "$used" apt-get install -y -q --no-install-recommends autopkgtest dpkg-dev
# The tree is the container.
unshare --net bash -ec 'ip link set lo up; inside "$used" sh -c "autopkgtest --output-dir /packages/results \
	--ignore-restrictions=isolation-container /packages/new/*.deb /packages/new/*.dsc -- null"' >"$folder/log" 2>&1 ||
	{ tail -n 60 "$folder/log" >&2; exit 1; }
cat "$used/packages/results/summary"
grep -qE '^serve +PASS' "$used/packages/results/summary"
echo "== $codename: all passed"
