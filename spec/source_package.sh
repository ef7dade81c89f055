#!/usr/bin/env bash
# Unpacks the upstream source of a Debian source package:
#
#     spec/source_package.sh NAME DIRECTORY
#
# Of the Debian release on which it runs, whose apt does not get to know the sources of packages.
set -euo pipefail
. "$(dirname "$0")/debian_tree.sh"
name=$1
folder=$2
mkdir -p "$folder/lists"
folder=$(cd "$folder" && pwd)
echo "deb-src $(debian_mirror) $(. /etc/os-release && echo "$VERSION_CODENAME") main" >"$folder/sources.list"
options=(-q -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$folder/lists")
apt-get update "${options[@]}"
cd "$folder"
apt-get source "${options[@]}" --download-only --tar-only "$name"
tar -x --strip-components=1 -f ./*.orig.tar.*
