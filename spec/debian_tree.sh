# Sourced by scripts that make trees of Debian releases. A script calls them in namespaces of its own.

# Prints the address of the mirror that this machine's apt uses.
debian_mirror() {
	local from
	for attempt in known updated; do
		if [ $attempt = updated ]; then apt-get update -q >&2; fi
		from=$(apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
			awk '$1 == "Debian" && $2 == "main" && $3 !~ /-/ && !found { print $4; found = 1 }')
		if [ -n "$from" ]; then
			echo "$from"
			return
		fi
	done
	echo "no mirror of Debian in the configuration of apt" >&2
	return 1
}

# Makes a bare tree of a release: make_tree CODENAME DIRECTORY [PACKAGE,…]
make_tree() {
	local from script=/usr/share/debootstrap/scripts/$1
	from=$(debian_mirror)
	# A release that is newer than this machine's debootstrap is made like sid.
	[ -e "$script" ] || script=sid
	debootstrap --variant=minbase ${3:+--include=$3} "$1" "$2" "$from" "$script"
	echo force-unsafe-io >"$2/etc/dpkg/dpkg.cfg.d/unsafe-io"
	# The package of a server starts the server if it can.
	printf '#!/bin/sh\nexit 101\n' >"$2/usr/sbin/policy-rc.d"
	chmod +x "$2/usr/sbin/policy-rc.d"
}

# Gives the tree's network and apt the same settings as on this machine.
give_network() {
	cp /etc/resolv.conf /etc/hosts "$1/etc/"
	apt-config dump | grep -E '^Acquire::(https?|Check|Retries)' >"$1/etc/apt/apt.conf.d/90host" || true
}
