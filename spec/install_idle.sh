#!/usr/bin/env bash
# Installs Debian packages of servers without starting them, now or when the machine starts.
#
#     spec/install_idle.sh PACKAGE...
#
# Packages that are already installed are not changed.
set -euo pipefail

missing=()
for package in "$@"; do
	dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing+=("$package")
done
if [ ${#missing[@]} = 0 ]; then
	exit
fi
root=$([ "$(id -u)" = 0 ] || echo sudo)

# invoke-rc.d and deb-systemd-invoke ask this file whether they may start a service.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap '$root rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' | $root tee $policy >/dev/null
	$root chmod +x $policy
fi
scripts=$(ls /etc/init.d)
$root apt-get update -q
$root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -q \
	--no-install-recommends "${missing[@]}"
# A service may have another name than its package, and a package none.
for script in $(ls /etc/init.d); do
	grep -qxF "$script" <<<"$scripts" || $root update-rc.d "$script" disable
done
