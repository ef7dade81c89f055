#!/usr/bin/env bash
# Runs those specs of folders that need no LuaSec with musl's libc, which Alpine has:
#
#     spec/musl_specs.sh DIRECTORY FOLDER…
#
# Debian has OpenSSL and Lua for the GNU libc only. They are built from Debian's sources in DIRECTORY, which
# takes minutes, and stay there. A spec that asks for a module that is not built is left out, and named.
set -euo pipefail
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
triplet=$(gcc -print-multiarch)
openssl=$folder/openssl lua=$folder/lua5.4/src modules=$folder/modules

source_of() {
	[ -d "$folder/$1" ] || { spec/source_package.sh "$1" "$folder/$1.new"; mv "$folder/$1.new" "$folder/$1"; }
}

# Compiles a module of Lua: module NAME SOURCE…
module() {
	mkdir -p "$(dirname "$modules/$1")"
	musl-gcc -O1 -fPIC -shared -I"$lua" -o "$modules/$1.so" "${@:2}"
}

# The kernel's headers lie among those of the GNU libc, which must not be found.
mkdir -p "$folder/include"
ln -sfn /usr/include/linux /usr/include/asm-generic "/usr/include/$triplet/asm" "$folder/include"
source_of openssl
if [ ! -e "$openssl/libssl.so" ]; then
	(cd "$openssl" && CC=musl-gcc ./Configure "linux-$(uname -m)" no-tests no-async no-engine -O1 "-I$folder/include")
	make -s -C "$openssl" -j "$(nproc)" build_libs
fi
for name in lua5.4 lua-filesystem lua-term lua-socket; do
	source_of $name
done
make -s -C "$lua" lua CC=musl-gcc MYCFLAGS='-DLUA_USE_POSIX -DLUA_USE_DLOPEN' MYLDFLAGS=-Wl,-E MYLIBS=-ldl
module lfs "$folder/lua-filesystem/src/lfs.c"
module term/core "$folder/lua-term/core.c"
socket=$folder/lua-socket/src
module socket/core "$socket"/{luasocket,timeout,buffer,io,auxiliar,compat,options,inet,usocket,except,select,tcp,udp}.c
module mime/core "$socket"/{mime,compat}.c
# Its few functions of the libc are the same in musl.
mkdir -p "$modules/system"
cp "/usr/lib/$triplet/lua/5.4/system/core.so" "$modules/system"
mkdir -p "$modules/xmpp_tls_policy"
make -s core CC=musl-gcc WERROR=-Werror CORE="$modules/xmpp_tls_policy/core.so" REDIS="$modules/xmpp_tls_policy/redis.so" \
	HIREDIS= OPENSSL_CFLAGS= OPENSSL_LIBS="-L$openssl -Wl,-rpath,$openssl -lssl -lcrypto" \
	OPENSSL_INCDIR="$openssl/include" LUA_INCDIR="$lua"

# The usual helper needs LuaSec.
echo 'print(require "xmpp_tls_policy.core".openssl)' >"$modules/musl.lua"
export LUA_PATH="/usr/share/lua/5.4/?.lua;/usr/share/lua/5.4/?/init.lua;$modules/?.lua" LUA_CPATH="$modules/?.so"
passed=0 failed=0 left_out=0
for file in $(find "$@" -name '*_spec.lua' | sort); do
	status=0
	output=$("$lua/lua" "$(command -v busted)" --helper=musl --exclude-tags=comparison "$file" 2>&1) || status=$?
	if [ $status = 0 ]; then
		count=$(sed -n 's/^\([0-9]*\) success.*/\1/p' <<<"$output")
		passed=$((passed + count))
	elif ! grep -q '^Failure' <<<"$output" && missing=$(grep -om1 "module '[a-z.]*' not found" <<<"$output"); then
		echo "left out: $file: $missing"
		left_out=$((left_out + 1))
	else
		echo "$output"
		failed=$((failed + 1))
	fi
done
echo "musl: $left_out files left out; in the others $passed specs passed, and $failed files failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
