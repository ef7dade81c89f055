# xmpp-tls-policy. `make help` lists the targets.

LUA_VERSION ?= 5.4
LUA ?= lua$(LUA_VERSION)
LUAROCKS ?= luarocks --lua-version $(LUA_VERSION)
ROCKSPEC := rockspec/xmpp-tls-policy-scm-1.rockspec
TREE := build
# Where the tests find the library; TREE only where Prosody has to.
CPATH := ./$(TREE)/lib/lua/$(LUA_VERSION)/?.so;;
BUSTED := LUA_CPATH="$(CPATH)" $(LUA) $(shell command -v busted)

# LuaRocks passes these when it builds the rock.
LUA_INCDIR ?= /usr/include/lua$(LUA_VERSION)
OPENSSL_INCDIR ?=
OPENSSL_LIBDIR ?=
CFLAGS ?= -O2
LIBFLAG ?= -shared
CORE ?= c/core.so

SOURCES := $(sort $(wildcard c/*.c))
HEADERS := $(sort $(wildcard c/*.h))
SCRIPTS := $(sort $(wildcard lua/*/*.lua))

INCLUDES = -isystem $(LUA_INCDIR) $(if $(OPENSSL_INCDIR),-isystem $(OPENSSL_INCDIR))
WARNINGS := -Wall -Wextra -Werror -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wformat=2 -Wundef -Wvla
HARDENING := -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
# The library stays mapped once loaded: OpenSSL keeps pointers to its callbacks
# in every SSL_CTX and SSL.
LINKING := -Wl,-z,relro,-z,now,-z,nodelete,-z,noexecstack

# Debian's packages: to build and run the specs, and for what else developing takes.
PACKAGES := gcc make libc6-dev libssl-dev lua$(LUA_VERSION) liblua$(LUA_VERSION)-dev luarocks \
	lua-busted lua-sec lua-socket lua-filesystem lua-event lua-dbi-sqlite3 prosody prometheus openssl gnutls-bin \
	ca-certificates
LINTERS := lua-check clang-format clang-tidy valgrind
LUAS := lua5.1 liblua5.1-0-dev lua5.2 liblua5.2-dev lua5.3 liblua5.3-dev lua5.4 liblua5.4-dev \
	luajit libluajit-5.1-dev
# Servers that ours federates with.
PEERS := ejabberd

# Installs those of a list that are missing.
define install
	@missing=$$(for package in $(1); do \
		dpkg-query -W -f='$${db:Status-Abbrev}' $$package 2>/dev/null | grep -q '^ii' || echo $$package; \
	done); \
	if [ -n "$$missing" ]; then \
		root=$$([ "$$(id -u)" = 0 ] || echo sudo); set -ex; \
		$$root apt-get update -q; \
		$$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing; \
	fi
endef

all: $(TREE)/.built ## build into the LuaRocks tree build/

$(TREE)/.built: $(SOURCES) $(HEADERS) $(SCRIPTS) $(ROCKSPEC) Makefile
	$(LUAROCKS) make --deps-mode none --tree $(TREE) $(ROCKSPEC) $(ROCK_VARIABLES)
	@touch $@

# What LuaRocks calls. Always made anew: what lies there may be for another Lua.
core:
	$(CC) $(CFLAGS) -std=gnu11 -fPIC -fvisibility=hidden $(WARNINGS) $(HARDENING) $(INCLUDES) \
		$(LIBFLAG) $(LINKING) -o $(CORE) $(SOURCES) \
		$(if $(OPENSSL_LIBDIR),-L$(OPENSSL_LIBDIR)) -lssl -lcrypto

deps: ## install the Debian packages that are missing
	$(call install,$(PACKAGES) $(LINTERS))

demo: deps all ## try real clients against a real server under the policy (KEEP=1 leaves it running)
	@LUA_CPATH="$(CPATH)" LUA_PATH="./lua/?.lua;./lua/?/init.lua;./spec/?.lua;;" KEEP="$(KEEP)" \
		$(LUA) spec/demo.lua

test: deps lint suite ## build, lint and run all specs

suite: all
	$(BUSTED)

unit: all ## run the unit specs alone
	$(BUSTED) --run=unit

matrix: luas trixie federation ## run the specs on every other Lua, Debian and server that is supported

luas: deps ## run the unit specs on Lua 5.1 to 5.4 and LuaJIT
	$(call install,$(LUAS))
	@for version in 5.1 5.2 5.3 5.4; do \
		$(MAKE) unit LUA_VERSION=$$version TREE=build/lua$$version || exit; \
	done
	@$(MAKE) unit LUA_VERSION=5.1 LUA=luajit TREE=build/luajit ROCK_VARIABLES=LUA_INCDIR=/usr/include/luajit-2.1

# TRIXIE may lie anywhere, to be kept.
TRIXIE ?= build/trixie

trixie: ## run all specs on Debian 13, in a tree of its own below build/
	$(call install,debootstrap)
	spec/on_debian.sh trixie $(TRIXIE) 'peers suite'

federation: deps peers all ## let this Prosody, that of Debian 13 and ejabberd federate, as root
	$(call install,debootstrap)
	spec/on_debian.sh trixie $(TRIXIE) 'peers all'
	@root=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	$$root env TRIXIE_TREE="$(abspath $(TRIXIE))" $(BUSTED) spec/server/federation_*_spec.lua

peers: ## install the servers to federate with, which are not started
	spec/install_idle.sh $(PEERS)

# A fault ends the process: nothing goes on with what it left behind.
SANITIZED := build/sanitized
# SUITES=unit leaves out the server specs, which take more than 20 minutes.
SUITES ?= unit server
SANITIZERS := -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all

sanitize: deps memory ## run all specs under sanitizers, and the unit specs under Valgrind
	$(call install,lua5.4 liblua5.4-dev patchelf)
	$(MAKE) all LUA_VERSION=5.4 TREE=$(SANITIZED) \
		ROCK_VARIABLES="CFLAGS='-O1 -g -fno-omit-frame-pointer $(SANITIZERS)'"
	spec/sanitize.sh $(SANITIZED) $(SUITES)

memory: all
	$(call install,valgrind)
	STEPS=20000 LUA_CPATH="$(CPATH)" valgrind --quiet --leak-check=full --show-leak-kinds=definite,indirect,possible \
		--error-exitcode=1 --num-callers=40 --keep-debuginfo=yes --suppressions=spec/support/leaks.valgrind \
		$(LUA) $(shell command -v busted) --run=unit

# How long, and what: FUZZ_TARGETS are scripts of spec/fuzz/, all if empty.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?=
FUZZ := build/fuzz

fuzz: deps all ## fuzz all that parses foreign bytes, FUZZ_SECONDS=60 for each target
	$(call install,clang libclang-rt-dev llvm liblua5.4-dev)
	@$(MAKE) $(FUZZ)/driver LUA_VERSION=5.4
	@LUA_CPATH="$(CPATH)" LUA_PATH="./lua/?.lua;./lua/?/init.lua;./spec/?.lua;;" FUZZ_SECONDS=$(FUZZ_SECONDS) \
		spec/fuzz/run.sh $(FUZZ)/driver $(FUZZ) $(FUZZ_TARGETS)

$(FUZZ)/driver: spec/fuzz/driver.c $(SOURCES) $(HEADERS)
	@mkdir -p $(FUZZ)
	clang -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all $(INCLUDES) \
		-o $@ $(filter %.c,$^) -llua5.4 -lssl -lcrypto

lint: ## check C, Lua and the rockspec
	luacheck -q lua spec
	clang-format --dry-run -Werror $(SOURCES) $(HEADERS) spec/fuzz/driver.c
	clang-tidy --quiet --warnings-as-errors='*' $(SOURCES) -- -std=gnu11 $(INCLUDES)
	$(LUAROCKS) lint $(ROCKSPEC)

# ROWS="message iq" runs those two of spec/bench/rows/; all take about 45 minutes.
ROWS ?=

bench: all ## measure, stock Prosody beside ours: table on the terminal, JSON in build/bench.json
	$(call install,prosody valgrind)
	@LUA_CPATH="$(CPATH)" LUA_PATH="./lua/?.lua;./lua/?/init.lua;./spec/?.lua;;" \
		$(LUA) spec/bench/run.lua $(LUA) $(TREE)/bench.json $(ROWS)

# Bounded: `make soak HANDSHAKES=3000 SECONDS=60` is a short one; SEED=… makes the same
# handshakes again, STOCK=1 takes a server without the policy, to compare.
soak: all $(TREE)/soak/malloc.so ## 100,000 handshakes of all kinds against a live server, in up to 15 minutes
	@LUA_CPATH="$(CPATH)" LUA_PATH="./lua/?.lua;./lua/?/init.lua;./spec/?.lua;;" HANDSHAKES="$(HANDSHAKES)" \
		SECONDS="$(SECONDS)" SEED="$(SEED)" STOCK="$(STOCK)" $(LUA) spec/soak/run.lua $(LUA) $(TREE)/soak/malloc.so

$(TREE)/soak/malloc.so: spec/soak/malloc.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -std=gnu11 -fPIC -fvisibility=hidden $(WARNINGS) -isystem $(LUA_INCDIR) -shared -o $@ $<

install: ## install with LuaRocks, for the system or into TREE of your own
	$(LUAROCKS) make --deps-mode none $(if $(filter command line,$(origin TREE)),--tree $(TREE)) $(ROCKSPEC)

clean: ## remove what was built
	rm -rf build $(CORE)

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

.PHONY: all core deps demo test suite unit matrix luas trixie federation peers sanitize memory fuzz lint bench soak install clean help
