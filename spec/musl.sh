#!/usr/bin/env bash
# Compiles the core with musl's libc, which Alpine has, and checks that musl, OpenSSL and Lua have each
# symbol that the core takes from elsewhere:
#
#     spec/musl.sh DIRECTORY [VARIABLE=VALUE …]
#
# The core is compiled in DIRECTORY; the variables are for `make core`. It is not run, because Debian has
# OpenSSL and Lua for the GNU libc only.
set -euo pipefail
folder=$1
shift
lua=5.4

# The headers of OpenSSL lie among those of the GNU libc, which must not be found.
triplet=$(gcc -print-multiarch)
rm -rf "$folder"
mkdir -p "$folder/include/openssl" "$folder/include/$triplet"
ln -s /usr/include/openssl/* "/usr/include/$triplet/openssl"/* "$folder/include/openssl"
ln -s "/usr/include/lua$lua" "$folder/include/lua$lua"
ln -s "/usr/include/$triplet/lua$lua-deb-multiarch.h" "$folder/include"

make -s core CC=musl-gcc WERROR=-Werror CORE="$folder/core.so" REDIS="$folder/redis.so" HIREDIS= OPENSSL_CFLAGS= OPENSSL_LIBS= \
	OPENSSL_INCDIR="$folder/include" LUA_INCDIR="$folder/include/lua$lua" "$@"

defined() {
	nm -D --defined-only "$@" | awk 'NF > 2 { sub(/@.*/, "", $3); print $3 }'
}
# Symbols that are weak may be missing.
missing=$(nm -D --undefined-only "$folder/core.so" | awk '$1 == "U" { sub(/@.*/, "", $2); print $2 }' | sort -u |
	comm -23 - <(defined "/usr/lib/${triplet%-gnu}-musl/libc.so" "/usr/lib/$triplet"/lib{ssl,crypto}.so \
		"/usr/lib/$triplet/liblua$lua.so" | sort -u))
if [ -n "$missing" ]; then
	printf 'neither musl nor OpenSSL nor Lua has:\n%s\n' "$missing" >&2
	exit 1
fi
echo "musl: the core is compiled, and musl has all that it takes from the libc"
