#!/usr/bin/env bash
# Runs the specs with AddressSanitizer, UndefinedBehaviorSanitizer and LeakSanitizer in the core, and
# with a garbage collector that is as eager as possible:
#
#     spec/sanitize.sh DIRECTORY SUITE …
#
# DIRECTORY is a LuaRocks tree with the sanitized core. It gets an interpreter for it, too.
# A SUITE is unit or server.
set -euo pipefail
export SANITIZED=$1
suites=" ${*:2} "
support=$(cd "$(dirname "$0")" && pwd)/support
lua=$SANITIZED/lua

# The interpreter itself loads the runtime, because LD_PRELOAD would also apply to every command that
# the specs start. Libraries stay loaded: otherwise their own memory would count as leaked, and the
# stacks of reports would have no names.
echo 'int dlclose(void *library) { return library == 0; }' |
	"${CC:-gcc}" -shared -fPIC -o "$SANITIZED/stay.so" -x c -
cp "$(command -v lua5.4)" "$lua"
patchelf --add-needed "$PWD/$SANITIZED/stay.so" "$lua"
patchelf --add-needed "$(readlink -f "$("${CC:-gcc}" -print-file-name=libasan.so)")" "$lua"

# Specs preload libraries of their own.
reports=log_path=$PWD/$SANITIZED/report:verify_asan_link_order=0
export UBSAN_OPTIONS=$reports:print_stacktrace=1
export LSAN_OPTIONS=suppressions=$support/leaks.lsan:print_suppressions=0
export LUA_CPATH="./$SANITIZED/lib/lua/5.4/?.so;;"
# Steps of the store with its model: the collector runs at each of its calls.
export STEPS=2000
# OpenSSL has no frame pointers, which the fast unwinder needs. The slow one takes time.
leaks=detect_leaks=1:fast_unwind_on_malloc=0:malloc_context_size=12
no_leaks=detect_leaks=0:detect_stack_use_after_return=1

rm -f "$SANITIZED"/report.*
failed=()
run() {
	echo "== $1"
	ASAN_OPTIONS=$reports:$2 "$lua" "$(command -v busted)" "${@:3}" 2>&1 | tee "$SANITIZED/output" || failed+=("$1, status $?
$(sed -n '/^\(Failure\|Error\) ->/,$p' "$SANITIZED/output")")
}
if [[ $suites == *" unit "* ]]; then
	# Only the specs of the core, and those of certificates that use it. The others only use facts from
	# it, which these cover.
	using_core() { grep -rl --include="*_spec.lua" "xmpp_tls_policy\.core" "$@"; }
	mapfile -t of_certificates < <(using_core spec/unit/certificates | grep -v certificates/memory)
	mapfile -t of_core < <(using_core spec/unit/{core,contexts,handshakes} spec/unit/library_spec.lua)
	of_core+=(spec/unit/sessions/redis_spec.lua) # the other library
	# One process each: an eager collector visits all that busted keeps of earlier files, too.
	for file in "${of_core[@]}" "${of_certificates[@]}"; do
		run "$file with sanitizers and an eager collector" $no_leaks --helper=support.collector \
			--exclude-tags=comparison,large "$file"
	done
	# `make memory` looks for leaks in the specs of the core.
	run "Unit specs with LeakSanitizer" $leaks --exclude-tags=comparison,large \
		"${of_certificates[@]}" spec/unit/{stream,audit,servers} spec/unit/sessions/key_file_spec.lua
fi
if [[ $suites == *" server "* ]]; then
	run "Server specs, in which every server has sanitizers and an eager collector" $leaks --run=server
fi

# Whoever reads only the end of the output has to see the failures there. A report may be of a server
# whose exit status no spec checked.
for report in "$SANITIZED"/report.*; do
	if [ -e "$report" ]; then
		failed+=("${report##*/}
$(cat "$report")")
	fi
done
for failure in "${failed[@]}"; do
	echo "== Failed: $failure"
done
exit $((${#failed[@]} > 0))
