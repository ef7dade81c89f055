# xmpp-tls-policy. `make help` lists the targets.

LUA_VERSION ?= 5.4
LUA ?= lua$(LUA_VERSION)
LUAROCKS ?= luarocks --lua-version $(LUA_VERSION)
TREE := $(CURDIR)/build
ROCKSPEC := rockspec/xmpp-tls-policy-scm-1.rockspec

# LuaRocks passes these when it builds the rock.
LUA_INCDIR ?= /usr/include/lua$(LUA_VERSION)
OPENSSL_INCDIR ?=
OPENSSL_LIBDIR ?=
CFLAGS ?= -O2
LIBFLAG ?= -shared
CORE ?= c/core.so

SOURCES := $(sort $(wildcard c/*.c))
HEADERS := $(wildcard c/*.h)

WARNINGS := -Wall -Wextra -Werror -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 -Wundef -Wvla
HARDENING := -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
# The library stays mapped once loaded: OpenSSL keeps pointers to its callbacks
# in every SSL_CTX and SSL.
LINKING := -Wl,-z,relro,-z,now,-z,nodelete,-z,noexecstack -Wl,--no-undefined-version

core: $(CORE)

$(CORE): $(SOURCES) $(HEADERS) Makefile
	$(CC) $(CFLAGS) -std=gnu11 -fPIC -fvisibility=hidden $(WARNINGS) $(HARDENING) \
		-isystem $(LUA_INCDIR) $(if $(OPENSSL_INCDIR),-isystem $(OPENSSL_INCDIR)) \
		$(LIBFLAG) $(LINKING) -o $@ $(SOURCES) \
		$(if $(OPENSSL_LIBDIR),-L$(OPENSSL_LIBDIR)) -lssl -lcrypto

.PHONY: core
