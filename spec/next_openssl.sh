#!/usr/bin/env bash
# Installs the OpenSSL of Debian experimental, and LuaSec built with it. In a tree of on_debian.sh, for the
# Makefile's target experimental-specs:
#
#     spec/next_openssl.sh DIRECTORY
#
# LuaSec is built in DIRECTORY.
set -euo pipefail
folder=$1
lua=5.4

mirror=$(awk '$1 == "deb" { print $2; exit }' /etc/apt/sources.list)
echo "deb $mirror experimental main" >/etc/apt/sources.list.d/experimental.list
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -t experimental libssl-dev openssl

spec/source_package.sh lua-sec "$folder"
make -s -C "$folder" linux INC_PATH="-I/usr/include/lua$lua" LIB_PATH=
install -m 644 "$folder/src/ssl.so" "/usr/lib/$(gcc -print-multiarch)/lua/$lua/ssl.so"
