#!/usr/bin/env bash
# Fuzzes as many targets at once as there are processors:
#
#     FUZZ_SECONDS=60 spec/fuzz/run.sh PROGRAM DIRECTORY [TARGET …]
#
# PROGRAM is the built driver. DIRECTORY/TARGET gets the target's seeds, corpus and log, and the
# failing inputs in crashes/. To repeat one: FUZZ=spec/fuzz/TARGET.lua PROGRAM FILE
set -euo pipefail
program=$1 directory=$2
shift 2
scripts=$(dirname "$0")
[ $# -gt 0 ] || for script in "$scripts"/*.lua; do
	name=$(basename "$script" .lua)
	[ "$name" = write_seeds ] || set -- "$@" "$name"
done

fuzz() {
	local place=$directory/$1 script=$scripts/$1.lua
	mkdir -p "$place/seeds" "$place/corpus" "$place/crashes"
	lua5.4 "$scripts/write_seeds.lua" "$script" "$place/seeds" &&
		FUZZ=$script "$program" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=20 -detect_leaks=0 -print_final_stats=1 \
			-artifact_prefix="$place/crashes/" "$place/corpus" "$place/seeds"
}

for name; do
	while [ "$(jobs -pr | wc -l)" -ge "$(nproc)" ]; do
		wait -n || true
	done
	mkdir -p "$directory/$name"
	(fuzz "$name" && echo done) >"$directory/$name/log" 2>&1 &
done
wait

failed=0
for name; do
	log=$directory/$name/log
	if [ "$(tail -n 1 "$log")" = done ]; then
		echo "$name: $(awk '/^#[0-9]/ { last = $0 } /number_of_executed_units/ { count = $2 } \
			END { print count " runs; " last }' "$log")"
	else
		failed=1
		echo "== $name failed:"
		grep -vE '^#[0-9]+[[:space:]]+(NEW|REDUCE|pulse|RELOAD)' "$log" | tail -n 80
	fi
done
ls -l "$directory"/*/crashes/* 2>/dev/null || true
exit $failed
