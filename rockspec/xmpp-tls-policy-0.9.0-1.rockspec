rockspec_format = "3.0"
package = "xmpp-tls-policy"
version = "0.9.0-1"
source = {
	-- `make dist` puts the archive beside this file. `luarocks pack` makes a source rock of both.
	url = "file://xmpp-tls-policy-0.9.0.tar.gz";
}
description = {
	summary = "TLS policy for Prosody-style XMPP servers";
	detailed = [[
		Enforces draft-saintandre-xmpp-tls-02, RFC 7590 or RFC 9325 on an
		existing XMPP server. It tightens the TLS contexts that the server
		made, checks the parameters of each handshake, and closes streams
		that break the policy.
	]];
	license = "MIT";
	labels = { "xmpp", "tls", "prosody", "openssl" };
}
supported_platforms = { "unix" }
dependencies = { "lua >= 5.1, < 5.6" }
external_dependencies = {
	OPENSSL = { header = "openssl/ssl.h"; library = "ssl" };
}
build = {
	type = "make";
	build_target = "core";
	-- It copies all files below lua/, so that no list of them stands here.
	install_target = "rock-files";
	variables = {
		CFLAGS = "$(CFLAGS)";
		LIBFLAG = "$(LIBFLAG)";
		LUA_INCDIR = "$(LUA_INCDIR)";
		OPENSSL_INCDIR = "$(OPENSSL_INCDIR)";
		OPENSSL_LIBDIR = "$(OPENSSL_LIBDIR)";
		LUADIR = "$(LUADIR)";
		LIBDIR = "$(LIBDIR)";
		BINDIR = "$(BINDIR)";
	};
	copy_directories = {};
}
