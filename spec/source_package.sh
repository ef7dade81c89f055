#!/usr/bin/env bash
# Unpacks the upstream source of a Debian source package:
#
#     spec/source_package.sh NAME DIRECTORY
#
# In a tree of on_debian.sh, of its release. The sources of packages stay unknown to the tree's apt.
set -euo pipefail
name=$1
folder=$2
mkdir -p "$folder/lists"
folder=$(cd "$folder" && pwd)
sed 's/^deb /deb-src /' /etc/apt/sources.list >"$folder/sources.list"
options=(-q -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$folder/lists")
apt-get update "${options[@]}"
cd "$folder"
apt-get source "${options[@]}" --download-only --tar-only "$name"
tar -x --strip-components=1 -f "$name"_*.orig.tar.*
