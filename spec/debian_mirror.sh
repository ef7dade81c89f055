# Sourced by scripts that make a tree of Debian.

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
