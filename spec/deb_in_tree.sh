#!/bin/bash
# The part of deb_test.sh that runs in the tree, in which the previous version is installed.
set -euo pipefail
. /packages/tests/server.sh

step() {
	echo "== $*"
}

step "no compiler, and nothing enabled"
if command -v cc gcc clang tcc; then fail "the packages brought a compiler"; fi
if grep -rq xmpp_tls_policy /etc/prosody; then fail "the installation enabled the module"; fi
previous=$(dpkg-query -W -f '${Version}' xmpp-tls-policy)
[ "$(xmpp-tls-policy --version)" = "${previous%-*}" ] || fail "the command says another version than $previous"
for version in 5.1 5.2 5.3 5.4; do
	if command -v lua$version >/dev/null; then
		lua$version -e 'assert(require "xmpp_tls_policy".policy()); assert(require "xmpp_tls_policy.redis".connect)'
	fi
done

step "enable and serve $previous"
enable
restart
logged "Version ${previous%-*}"
[ "$(login)" = TLS_AES_256_GCM_SHA384 ] || fail "the policy's order of suites is not in force"

step "upgrade under load"
mkdir /packages/load
touch /packages/load/logins /packages/load/failures
lua5.4 /packages/tests/login.lua repeatedly /packages/load &
load=$!
has_logins() {
	[ "$(wc -l </packages/load/logins)" -ge "$1" ]
}
more_logins() {
	await has_logins $(($(wc -l </packages/load/logins) + 10))
}
more_logins
dpkg -i /packages/new/*.deb >/packages/log 2>&1 || fail "$(cat /packages/log)"
new=$(dpkg-query -W -f '${Version}' xmpp-tls-policy)
[ "$new" != "$previous" ] || fail "both packages have the version $new"
more_logins
if prosodyctl shell 'module:reload("xmpp_tls_policy")' >/packages/log 2>&1; then fail "two versions were mixed"; fi
logged "version ${new%-*} is installed over version ${previous%-*}, which is loaded"
more_logins
touch /packages/load/stop
wait $load
[ ! -s /packages/load/failures ] || fail "logins failed: $(sort /packages/load/failures | uniq -c)"
if grep -v TLS_AES_256_GCM_SHA384 /packages/load/logins; then fail "logins without the policy"; fi
echo "$(wc -l </packages/load/logins) logins, no failure"

step "$new after a restart"
restart
logged "Version ${new%-*}"
[ "$(login)" = TLS_AES_256_GCM_SHA384 ] || fail "the policy's order of suites is not in force"
prosodyctl shell 'tlspolicy:status()' >/packages/status || fail "$(cat /packages/status)"
grep -F "Version ${new%-*} on Prosody" /packages/status || fail "$(cat /packages/status)"
prosodyctl mod_xmpp_tls_policy check localhost >/packages/check || [ $? = 1 ] || fail "$(cat /packages/check)"

step "remove and purge"
disable
restart
[ "$(login)" = TLS_AES_128_GCM_SHA256 ] || fail "the policy is still in force"
for action in remove purge; do
	dpkg --$action xmpp-tls-policy prosody-mod-xmpp-tls-policy lua-xmpp-tls-policy >/packages/log 2>&1 ||
		fail "$(cat /packages/log)"
	restart
	[ "$(login)" = TLS_AES_128_GCM_SHA256 ] || fail "Prosody does not serve after $action"
done
left=$(find / -xdev \( -path /packages -o -path /proc -o -path /var/lib/prosody -o -path /var/log \) -prune -o \
	\( -name '*xmpp?tls?policy*' -o -name '*xmpp-tls-policy*' \) -print)
[ -z "$left" ] || fail "left after the purge: $left"
stop
step "all passed"
