#!/usr/bin/env bash
# Builds the Debian packages of a source archive (`make dist`) in a new DIRECTORY, and checks them if
# lintian is installed:
#
#     spec/deb.sh ARCHIVE PACKAGING DIRECTORY [VERSION]
#
# PACKAGING is an archive of debian/.
# With VERSION, only binary packages are built, and they say that version: for tests of an upgrade.
set -euo pipefail
archive=$1 packaging=$2 folder=$3 version=${4:-}

rm -rf "$folder"
mkdir -p "$folder"
name=$(basename "$archive" .tar.gz)
tar -C "$folder" -xzf "$archive"
tar -C "$folder/$name" -xf "$packaging"
if [ -n "$version" ]; then
	sed -i "1s/(.*)/($version-1)/" "$folder/$name/debian/changelog"
	sed -i "s/^return .*/return \"$version\"/" "$folder/$name/lua/xmpp_tls_policy/version.lua"
	kind=-b
else
	cp "$archive" "$folder/${name%-*}_${name##*-}.orig.tar.gz"
	kind=-F
fi
cd "$folder/$name"
# The locale and the umask must not reach the packages.
umask 022
LC_ALL=C.UTF-8 dpkg-buildpackage -us -uc "$kind" >../build.log 2>&1 || {
	tail -n 40 ../build.log >&2
	exit 1
}
cd ..
rm -rf "$name"
if [ -z "$version" ] && command -v lintian >/dev/null; then
	# Debian has no bug that asks for these packages.
	lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs *.changes
fi
ls *.deb
