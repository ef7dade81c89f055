# Functions for tests of the packages, on a machine whose Prosody nobody needs. Sourced by bash with -eu.

tests=$(dirname "${BASH_SOURCE[0]}")
configuration=/etc/prosody/prosody.cfg.lua
log=/var/log/prosody/prosody.log

# Makes a certificate and an account for the host localhost, and enables the module.
enable() {
	rm -f /etc/prosody/certs/localhost.*
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
		-keyout /etc/prosody/certs/localhost.key -out /etc/prosody/certs/localhost.crt 2>/dev/null
	chown prosody: /etc/prosody/certs/localhost.*
	sed -i 's/^modules_enabled = {/&\n"xmpp_tls_policy";/' "$configuration"
	# Above the first host, where options are for all hosts.
	sed -i '0,/^VirtualHost/s//xmpp_tls_policy = { profile = "xmpp-2026-07" }\nVirtualHost/' "$configuration"
	prosodyctl register someone localhost secret
}

disable() {
	sed -i '/^"xmpp_tls_policy";$/d; /^xmpp_tls_policy = /d' "$configuration"
}

# A process that nobody has waited for yet has an empty command line.
has_ended() {
	[ ! -e "/proc/$1/cmdline" ] || [ -z "$(tr -d '\0' <"/proc/$1/cmdline")" ]
}

# Prosody 13 on a machine with systemd has no `prosodyctl start` and no `prosodyctl stop`.
stop() {
	local pid
	if [ -s /run/prosody/prosody.pid ]; then
		pid=$(cat /run/prosody/prosody.pid)
		kill "$pid"
		await has_ended "$pid"
		rm -f /run/prosody/prosody.pid
	fi
}

# Restarts Prosody, and waits until it listens. An old process that still stops would take the shell's
# socket away from the new one.
restart() {
	stop
	install -d -o prosody -g adm /run/prosody
	runuser -u prosody -- prosody -D
	lua5.4 "$tests/login.lua" wait
}

# Logs in over TLS, and prints the cipher suite. The client prefers 128 bits.
login() {
	lua5.4 "$tests/login.lua" once
}

# Tries a command until it succeeds, for at most a minute.
await() {
	local deadline=$((SECONDS + 60))
	until "$@"; do
		[ $SECONDS -lt $deadline ] || fail "this did not come true: $*"
		sleep 0.1
	done
}

# Waits until a line of Prosody's log has the text.
logged() {
	await grep -qF -- "$1" "$log"
}

fail() {
	echo "failed: $*" >&2
	exit 1
}
