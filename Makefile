# xmpp-tls-policy. `make help` lists the targets.

LUA_VERSION ?= 5.4
LUA ?= lua$(LUA_VERSION)
LUAROCKS ?= luarocks --lua-version $(LUA_VERSION)
VERSION := $(shell sed -n 's/^return "\(.*\)"/\1/p' lua/xmpp_tls_policy/version.lua)
ROCKSPEC := rockspec/xmpp-tls-policy-scm-1.rockspec
TREE := build
# Tests load the Lua files from the checkout and the library from TREE. Prosody loads both from TREE.
CPATH := ./$(TREE)/lib/lua/$(LUA_VERSION)/?.so;;
BUSTED := LUA_CPATH="$(CPATH)" $(LUA) $(shell command -v busted)

# LuaRocks passes these when it builds the rock.
LUA_INCDIR ?= /usr/include/lua$(LUA_VERSION)
OPENSSL_INCDIR ?=
OPENSSL_LIBDIR ?=
CFLAGS ?= -O2
LIBFLAG ?= -shared
CORE ?= c/core.so
REDIS ?= c/redis.so

SOURCES := $(sort $(wildcard c/*.c))
HEADERS := $(sort $(wildcard c/*.h))
REDIS_ALL := $(sort $(wildcard c/redis/*.c c/redis/*.h))
SCRIPTS := $(sort $(wildcard lua/bin/* lua/*.lua lua/*/*.lua lua/*/*/*.lua lua/*/*/*/*.lua))

# Where PKG_CONFIG_PATH leads comes before the directory that LuaRocks found.
PKG_CONFIG ?= pkg-config
OPENSSL_CFLAGS := $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags openssl 2>/dev/null))
OPENSSL_LIBS := $(or $(shell $(PKG_CONFIG) --libs openssl 2>/dev/null),-lssl -lcrypto)

INCLUDES = -isystem $(LUA_INCDIR) $(OPENSSL_CFLAGS) $(if $(OPENSSL_INCDIR),-isystem $(OPENSSL_INCDIR))
# `WERROR=-Werror` for our own builds. Others have compilers and headers that we have not seen.
WERROR ?=
WARNINGS = -Wall -Wextra $(WERROR) -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wformat=2 -Wundef -Wvla
HARDENING := -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
# nodelete: the library stays mapped, because each SSL_CTX and SSL keeps pointers to its
# callbacks.
LINKING := -Wl,-z,relro,-z,now,-z,nodelete,-z,noexecstack

# Whether a program compiles and links with these headers and libraries: 1 or nothing.
links = $(shell echo 'int main(void) { return 0; }' \
	| $(CC) -x c -o /dev/null $(addprefix -include ,$(1)) - $(2) 2>/dev/null && echo 1)
# hiredis is optional (doc/shared-sessions.md). HIREDIS= builds without it.
HIREDIS ?= $(call links,hiredis/hiredis.h,-lhiredis)
HIREDIS_TLS ?= $(call links,hiredis/hiredis.h hiredis/hiredis_ssl.h,-lhiredis -lhiredis_ssl -lssl -lcrypto)
REDIS_SOURCES = $(if $(HIREDIS),$(filter-out c/redis/absent.c,$(filter %.c,$(REDIS_ALL))),c/redis/absent.c)
REDIS_LIBRARIES = $(if $(HIREDIS),-lhiredis $(if $(HIREDIS_TLS),-lhiredis_ssl -lssl -lcrypto))

# Debian packages for building and for running the command; README.md has the same list.
PACKAGES := gcc make libc6-dev libssl-dev pkgconf lua$(LUA_VERSION) liblua$(LUA_VERSION)-dev luarocks \
	lua-argparse lua-dkjson lua-expat lua-luv lua-unbound
# For the specs.
SPECS := libhiredis-dev lua-busted lua-sec lua-socket lua-filesystem lua-event lua-dbi-sqlite3 openssl gnutls-bin \
	testssl.sh nmap ca-certificates
# Clients that the specs log in with. They bring no desktop and no service.
CLIENTS := go-sendxmpp libstrophe0 python3-slixmpp
# The engine of shared sessions: Debian 13 has both, and the specs take Valkey there.
ENGINE ?= $(if $(shell apt-cache show valkey-server 2>/dev/null),valkey-server,redis-server)
# Servers that the specs run. Their packages would start them.
SERVICES := prosody prometheus nginx libnginx-mod-stream haproxy $(ENGINE)
LINTERS := lua-check clang-format clang-tidy valgrind
# Opens the audit's page in a spec. `make deps-test BROWSER=` leaves it out.
BROWSER := chromium
LUAS := lua5.1 liblua5.1-0-dev lua5.2 liblua5.2-dev lua5.3 liblua5.3-dev lua5.4 liblua5.4-dev \
	luajit libluajit-5.1-dev
# For the targets of the same names, and for trixie and federation.
SANITIZE := lua5.4 liblua5.4-dev patchelf
FUZZ_PACKAGES := clang libclang-rt-dev llvm liblua5.4-dev
DEBIAN_TREE := debootstrap
PAGES := pandoc
# Beside build-essential: what debian/control names in Build-Depends, and lintian.
PACKAGING := build-essential debhelper dh-lua libhiredis-dev libssl-dev pandoc pkgconf lintian
# Servers of other projects that the specs federate with, or audit.
PEERS := ejabberd jabberd2

# Installs the missing packages of a list.
define install
	@missing=$$(for package in $(1); do \
		dpkg-query -W -f='$${db:Status-Abbrev}' $$package 2>/dev/null | grep -q '^ii' || echo $$package; \
	done); \
	if [ -n "$$missing" ]; then \
		root=$$([ "$$(id -u)" = 0 ] || echo sudo); set -ex; \
		$$root apt-get update -q; \
		$$root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -q \
			--no-install-recommends $$missing; \
	fi
endef

all: $(TREE)/.built ## build into the LuaRocks tree build/

$(TREE)/.built: $(SOURCES) $(HEADERS) $(REDIS_ALL) $(SCRIPTS) $(ROCKSPEC) Makefile
	$(LUAROCKS) make --deps-mode none --tree $(TREE) $(ROCKSPEC) $(ROCK_VARIABLES)
	@touch $@

# LuaRocks calls this target. It always compiles, because an old file may be for another Lua.
core:
	$(CC) $(CFLAGS) -std=gnu11 -fPIC -fvisibility=hidden $(WARNINGS) $(HARDENING) $(INCLUDES) \
		$(LIBFLAG) $(LINKING) -o $(CORE) $(SOURCES) \
		$(OPENSSL_LIBS) $(if $(OPENSSL_LIBDIR),-L$(OPENSSL_LIBDIR))
	$(CC) $(CFLAGS) -std=gnu11 -fPIC -fvisibility=hidden $(WARNINGS) $(HARDENING) $(INCLUDES) \
		-DHAVE_REDIS_TLS=$(if $(HIREDIS_TLS),1,0) $(LIBFLAG) $(LINKING) -o $(REDIS) $(REDIS_SOURCES) \
		$(if $(OPENSSL_LIBDIR),-L$(OPENSSL_LIBDIR)) $(REDIS_LIBRARIES)

# LuaRocks calls this target after `core`, with folders of its own.
rock-files:
	install -d "$(LIBDIR)/xmpp_tls_policy" "$(BINDIR)"
	install -m 755 $(CORE) "$(LIBDIR)/xmpp_tls_policy/core.so"
	install -m 755 $(REDIS) "$(LIBDIR)/xmpp_tls_policy/redis.so"
	install -m 755 lua/bin/xmpp-tls-policy "$(BINDIR)/xmpp-tls-policy"
	@cd lua && find mod_xmpp_tls_policy.lua xmpp_tls_policy -name '*.lua' | while read -r file; do \
		install -d "$(LUADIR)/$$(dirname "$$file")" && install -m 644 "$$file" "$(LUADIR)/$$file" || exit; \
	done

# Pages for man(1).
MAN := $(TREE)/man
MANUAL = $(patsubst doc/%.md,$(MAN)/%,$(wildcard doc/*.[18].md))

man: ## make the manual pages with pandoc, in build/man
	$(call install,$(PAGES))
	@$(MAKE) -s $(MANUAL)

$(MAN)/%: doc/%.md lua/xmpp_tls_policy/version.lua
	@mkdir -p $(@D)
	pandoc --from markdown-smart --to man --standalone -V footer="xmpp-tls-policy $(VERSION)" -o $@ $<

DIST := build/dist
RELEASE := xmpp-tls-policy-$(VERSION)

# The bytes depend on the commit alone: its date is that of all files. A source rock is a zip file of a
# rockspec and the archive that it names.
dist: ## pack the last commit as the source archive of a release, and as a source rock, in build/dist
	@git diff --quiet HEAD -- || { echo "make dist packs the last commit: commit your changes first" >&2; exit 1; }
	@mkdir -p $(DIST)
	git -c tar.umask=0022 archive --format=tar --prefix=$(RELEASE)/ --output=$(DIST)/$(RELEASE).tar HEAD
	gzip -9 --no-name --force $(DIST)/$(RELEASE).tar
	install -m 644 rockspec/$(RELEASE)-1.rockspec $(DIST)
	@cd $(DIST) && rm -f $(RELEASE)-1.src.rock && chmod 644 $(RELEASE).tar.gz && export TZ=UTC && \
		touch -d @$$(git log -1 --format=%ct) $(RELEASE)-1.rockspec $(RELEASE).tar.gz && \
		zip -q -X -0 $(RELEASE)-1.src.rock $(RELEASE)-1.rockspec $(RELEASE).tar.gz

DEB := build/deb

# debian/ stands at the top because debhelper wants it there; it is no part of the source archive.
$(DIST)/debian.tar: dist
	git -c tar.umask=0022 archive --format=tar --output=$@ --prefix=debian/ HEAD:debian

deb: $(DIST)/debian.tar ## build the Debian packages of the last commit, and check them with lintian; in build/deb
	$(call install,$(PACKAGING))
	spec/deb.sh $(DIST)/$(RELEASE).tar.gz $< $(DEB)

# The release on which the packages are built and tested.
CODENAME ?= $(shell . /etc/os-release && echo $$VERSION_CODENAME)

deb-test: $(DIST)/debian.tar ## build on a bare Debian, install, serve, upgrade under load, remove; CODENAME=trixie for 13
	$(call install,$(DEBIAN_TREE))
	spec/deb_test.sh $(CODENAME) $(DEB)-test/$(CODENAME) $(DIST)/$(RELEASE).tar.gz $<

deps: ## install the Debian packages that building and running take
	$(call install,$(PACKAGES))

deps-test: deps ## install what `make test` takes; no service is started or enabled
	$(call install,$(SPECS) $(CLIENTS) $(LINTERS) $(BROWSER))
	spec/install_idle.sh $(SERVICES)

deps-dev: deps-test ## install the packages that any target takes
	$(call install,$(LUAS) $(SANITIZE) $(FUZZ_PACKAGES) $(DEBIAN_TREE) $(PAGES) $(PACKAGING) musl-tools)

demo: deps-test all ## connect real clients to a real server under the policy (KEEP=1 leaves it running)
	@LUA_CPATH="$(CPATH)" LUA_PATH="./lua/?.lua;./lua/?/init.lua;./spec/?.lua;;" KEEP="$(KEEP)" \
		$(LUA) spec/demo.lua

test: export WERROR = -Werror
test: deps-test lint suite ## build, lint and run all specs

suite: all
	$(BUSTED)

unit: all ## run only the unit specs
	$(BUSTED) --run=unit $(UNIT_OPTIONS)

matrix: luas trixie federation forky ## run the specs on all other supported Luas, Debian releases and servers

UNIT_LUAS ?= 5.1 5.2 5.3 5.4

# Specs with the tag #comparison compare thousands of handshakes. They are about OpenSSL, not about Lua.
# LuaJIT runs without its compiler. With it, LuaJIT of Debian 12 crashes now and then in admission_spec,
# in compiled code. The cause is not known.
luas: deps-test ## run the unit specs on Lua 5.1 to 5.4 and LuaJIT
	$(call install,$(LUAS))
	@for version in $(UNIT_LUAS); do \
		$(MAKE) unit LUA_VERSION=$$version TREE=build/lua$$version UNIT_OPTIONS=--exclude-tags=comparison || exit; \
	done
	@$(MAKE) unit LUA_VERSION=5.1 LUA='luajit -joff' TREE=build/luajit \
		UNIT_OPTIONS=--exclude-tags=comparison ROCK_VARIABLES=LUA_INCDIR=/usr/include/luajit-2.1

# Set TRIXIE to keep the tree elsewhere.
TRIXIE ?= build/trixie

trixie: ## run all specs on Debian 13, in a tree below build/
	$(call install,$(DEBIAN_TREE))
	spec/on_debian.sh trixie $(TRIXIE) 'peers suite'

# Set FORKY to keep the tree elsewhere.
FORKY ?= build/forky

forky: ## run all specs on Debian testing, and the unit specs with its Lua 5.5, in a tree below build/
	$(call install,$(DEBIAN_TREE))
	spec/on_debian.sh forky $(FORKY) 'peers suite lua55'

LUV := $(TREE)/luv
LUA55_TREE := build/lua5.5

# Debian's lua-luv is for Lua 5.4 at most.
lua55: # `make forky` calls this target
	$(call install,lua5.5 liblua5.5-dev libuv1-dev xz-utils)
	spec/source_package.sh lua-luv $(LUV)
	@mkdir -p $(LUA55_TREE)/lib/lua/5.5
	$(CC) -O2 -fPIC -shared -I/usr/include/lua5.5 \
		-o $(LUA55_TREE)/lib/lua/5.5/luv.so $(LUV)/src/luv.c -luv
	$(MAKE) unit LUA_VERSION=5.5 TREE=$(LUA55_TREE) UNIT_OPTIONS=--exclude-tags=comparison

# Set EXPERIMENTAL to keep the tree elsewhere.
EXPERIMENTAL ?= build/experimental

experimental: ## compile with OpenSSL 4.0 of Debian experimental, and run the unit specs that do not compare
	$(call install,$(DEBIAN_TREE))
	spec/on_debian.sh forky $(EXPERIMENTAL) experimental-specs

# Debian's hiredis has TLS of OpenSSL 3, which knows no objects of OpenSSL 4.
experimental-specs: # `make experimental` calls this target
	spec/next_openssl.sh $(TREE)/luasec
	$(MAKE) unit HIREDIS_TLS= UNIT_OPTIONS=--exclude-tags=comparison

federation: deps-test peers all ## run the specs of federation with Debian 13's Prosody and with ejabberd, as root
	$(call install,$(DEBIAN_TREE))
	spec/on_debian.sh trixie $(TRIXIE) 'peers all'
	@root=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	$$root env TRIXIE_TREE="$(abspath $(TRIXIE))" $(BUSTED) spec/server/federation_*_spec.lua

peers: ## install the servers for the federation specs, without starting them
	spec/install_idle.sh $(PEERS)

musl: ## compile the core for musl, the libc of Alpine
	$(call install,musl-tools)
	spec/musl.sh build/musl

# Specs that use the core most; spec/unit takes long.
MUSL_SPECS ?= spec/unit/core spec/unit/certificates spec/unit/policy spec/unit/sessions

musl-specs: deps-test ## run the unit specs that need no LuaSec with musl, and OpenSSL and Lua built for it
	$(call install,musl-tools perl)
	spec/musl_specs.sh build/musl-specs $(MUSL_SPECS)

# A fault ends the process at once.
SANITIZED := build/sanitized
# SUITES=unit leaves out the server specs, which take more than 20 minutes.
SUITES ?= unit server
SANITIZERS := -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all

sanitize: deps-test ## run all specs under sanitizers
	$(call install,$(SANITIZE))
	$(MAKE) all LUA_VERSION=5.4 TREE=$(SANITIZED) \
		ROCK_VARIABLES="CFLAGS='-O1 -g -fno-omit-frame-pointer $(SANITIZERS)'"
	spec/sanitize.sh $(SANITIZED) $(SUITES)

# The specs that test the C core; the others use it only as these do. Comparisons would take most of an
# hour under Valgrind. With RSA certificates Valgrind also reports a branch inside libcrypto on stack
# memory of libcrypto that was not set.
CORE_SPECS := spec/unit/core spec/unit/library_spec.lua spec/unit/contexts spec/unit/handshakes \
	spec/unit/sessions/redis_spec.lua

memory: all ## run the specs of the core under Valgrind
	$(call install,valgrind)
	STEPS=20000 LUA_CPATH="$(CPATH)" valgrind --quiet --leak-check=full --show-leak-kinds=definite,indirect,possible \
		--error-exitcode=1 --num-callers=40 --keep-debuginfo=yes --suppressions=spec/support/leaks.valgrind \
		$(LUA) $(shell command -v busted) --exclude-tags=comparison $(CORE_SPECS)

# Seconds for each target. FUZZ_TARGETS: scripts of spec/fuzz/; all of them if empty.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?=
FUZZ := build/fuzz

fuzz: deps-test all ## fuzz the parsers of foreign bytes, FUZZ_SECONDS=60 for each target
	$(call install,$(FUZZ_PACKAGES))
	@$(MAKE) $(FUZZ)/driver LUA_VERSION=5.4
	@LUA_CPATH="$(CPATH)" LUA_PATH="./lua/?.lua;./lua/?/init.lua;./spec/?.lua;;" FUZZ_SECONDS=$(FUZZ_SECONDS) \
		spec/fuzz/run.sh $(FUZZ)/driver $(FUZZ) $(FUZZ_TARGETS)

$(FUZZ)/driver: spec/fuzz/driver.c $(SOURCES) $(HEADERS)
	@mkdir -p $(FUZZ)
	clang -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all $(INCLUDES) \
		-o $@ $(filter %.c,$^) -llua5.4 $(OPENSSL_LIBS)

lint: ## check C, Lua and the rockspecs
	luacheck -q lua spec doc/examples lua/bin/*
	clang-format --dry-run -Werror $(SOURCES) $(HEADERS) $(REDIS_ALL) spec/fuzz/driver.c
	clang-tidy --quiet --warnings-as-errors='*' $(SOURCES) c/redis/absent.c $(filter-out c/redis/absent.c,$(REDIS_SOURCES)) \
		-- -std=gnu11 $(INCLUDES) -DHAVE_REDIS_TLS=$(if $(HIREDIS_TLS),1,0)
	for rockspec in rockspec/*.rockspec; do $(LUAROCKS) lint $$rockspec || exit; done

conformance: ## list which code and which spec holds each rule of an RFC and each clause, and the gaps
	@LUA_CPATH="$(CPATH)" LUA_PATH="./lua/?.lua;./lua/?/init.lua;./spec/?.lua;;" $(LUA) spec/conformance/run.lua

# ROWS="message iq" runs those two of spec/bench/rows/; all take about 45 minutes.
ROWS ?=

bench: all ## measure, stock Prosody beside ours: table on the terminal, JSON in build/bench.json
	$(call install,valgrind)
	spec/install_idle.sh prosody
	@LUA_CPATH="$(CPATH)" LUA_PATH="./lua/?.lua;./lua/?/init.lua;./spec/?.lua;;" \
		$(LUA) spec/bench/run.lua $(LUA) $(TREE)/bench.json $(ROWS)

# `make soak HANDSHAKES=3000 SECONDS=60` is a short run. SEED=… repeats the handshakes of a run;
# STOCK=1 uses a server without the policy, to compare.
soak: all $(TREE)/soak/malloc.so ## make 100,000 handshakes of all kinds with a live server, up to 15 minutes
	@LUA_CPATH="$(CPATH)" LUA_PATH="./lua/?.lua;./lua/?/init.lua;./spec/?.lua;;" HANDSHAKES="$(HANDSHAKES)" \
		SECONDS="$(SECONDS)" SEED="$(SEED)" STOCK="$(STOCK)" $(LUA) spec/soak/run.lua $(LUA) $(TREE)/soak/malloc.so

$(TREE)/soak/malloc.so: spec/soak/malloc.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -std=gnu11 -fPIC -fvisibility=hidden $(WARNINGS) -isystem $(LUA_INCDIR) -shared -o $@ $<

# The server's user has to read all of it, whatever the umask is and the modes of an older tree are.
INSTALL_TREE = $(if $(filter command line,$(origin TREE)),--tree $(TREE))

install: ## install with LuaRocks, for the system or into TREE, readable for all users
	umask 022 && $(LUAROCKS) make --deps-mode none $(INSTALL_TREE) $(ROCKSPEC)
	@for kind in deploy_lua_dir deploy_lib_dir rocks_dir; do \
		folder=$$($(LUAROCKS) $(INSTALL_TREE) config $$kind) || exit; \
		chmod a+rx "$$folder" "$$folder/.." "$$folder/../.." || exit; \
		for name in mod_xmpp_tls_policy.lua xmpp_tls_policy xmpp-tls-policy; do \
			[ ! -e "$$folder/$$name" ] || chmod -R a+rX "$$folder/$$name" || exit; \
		done; \
	done

clean: ## remove the built files
	rm -rf build $(CORE) $(REDIS)

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 10

.PHONY: all core rock-files man dist deb deb-test deps deps-test deps-dev demo test suite unit matrix luas trixie forky lua55 experimental experimental-specs federation peers musl musl-specs sanitize memory fuzz lint conformance bench soak install clean help
