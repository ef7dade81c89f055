/* Context: an SSL_CTX of our own or of LuaSec's. */
#include "internal.h"

#include <string.h>

#include <openssl/err.h>

struct context {
	SSL_CTX *context; /* a reference of our own; NULL when closed */
	char role;        /* 's', 'c', or 0 */
	bool adopted;     /* the user value holds LuaSec's userdata */
};

/* Clears OpenSSL's queue of the errors that other code left in it. */
static struct context *check_object(lua_State *L, int index)
{
	struct context *object = luaL_checkudata(L, index, CONTEXT_TYPE);
	if (object->context == NULL)
		luaL_argerror(L, index, "context is closed");
	ERR_clear_error();
	return object;
}

SSL_CTX *context_check(lua_State *L, int index)
{
	return check_object(L, index)->context;
}

char context_role(lua_State *L, int index)
{
	return check_object(L, index)->role;
}

static struct context *push_object(lua_State *L)
{
	struct context *object = lua_newuserdata(L, sizeof *object);
	memset(object, 0, sizeof *object);
	luaL_getmetatable(L, CONTEXT_TYPE);
	lua_setmetatable(L, -2);
	return object;
}

static int context_close(lua_State *L)
{
	struct context *object = luaL_checkudata(L, 1, CONTEXT_TYPE);
	SSL_CTX_free(object->context);
	object->context = NULL;
	return 0;
}

/* ---- a context of our own --------------------------------------------------- */

/* A string option, or NULL. Leaves it on the stack, for as long as it is used. */
static const char *option_string(lua_State *L, const char *name)
{
	size_t length = 0;
	raw_getfield(L, 1, name);
	const char *value = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : NULL;
	if (!lua_isnil(L, -1) && (value == NULL || strlen(value) != length))
		luaL_error(L, "context.new: %s is no string, or has a NUL in it", name);
	return value;
}

static void check_options(lua_State *L)
{
	static const char *const known[] = { "role",    "certificate",   "key",
					     "ca_file", "ca_path",       "system_authorities",
					     "verify",  "openssl_cache", NULL };
	luaL_checktype(L, 1, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) {
		const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
		const char *const *option = known;
		while (*option != NULL && strcmp(*option, name) != 0)
			option++;
		if (*option == NULL)
			luaL_error(L, "context.new: unknown option '%s'", name);
	}
}

static int set_verify(lua_State *L, SSL_CTX *context, char role)
{
	const char *verify = option_string(L, "verify");
	if (verify == NULL)
		verify = role == 'c' ? "require" : "none";
	if (strcmp(verify, "require") == 0)
		SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
				   NULL);
	else if (strcmp(verify, "none") == 0)
		SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
	else
		return luaL_error(L, "context.new: verify is neither 'none' nor 'require'");
	return 0;
}

/* Turns OpenSSL's own cache of sessions on or off; on without stateless tickets. */
static void set_cache(lua_State *L, SSL_CTX *context)
{
	raw_getfield(L, 1, "openssl_cache");
	if (lua_toboolean(L, -1)) {
		SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(context, 1);
		SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER);
	} else {
		SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	}
	lua_pop(L, 1);
}

/* context.new{ role = "server"|"client", certificate = path, key = path,
 * ca_file = path, ca_path = path, system_authorities = boolean, verify = "none"|"require",
 * openssl_cache = boolean }
 * With system_authorities, those that OpenSSL is configured for count, too. The certificate file is
 * PEM, with the chain after the certificate. By default, a client verifies the chain (not the
 * name), and a server asks for no certificate. With openssl_cache, sessions are resumed from
 * OpenSSL's own cache, for comparison with ours. Returns a Context, or nil, message, code: "file",
 * "parse", "mismatch", "tls". */
static int context_new(lua_State *L)
{
	check_options(L);
	ERR_clear_error();
	const char *role = option_string(L, "role");
	if (role == NULL || (strcmp(role, "server") != 0 && strcmp(role, "client") != 0))
		return luaL_error(L, "context.new: role is neither 'server' nor 'client'");
	struct context *object = push_object(L);
	int place = lua_gettop(L);
	object->role = *role;
	object->context = SSL_CTX_new(TLS_method());
	if (object->context == NULL)
		return push_failure(L, "tls", "cannot make a context");
	set_cache(L, object->context);
	set_verify(L, object->context, object->role);
	struct credentials credentials = {
		.certificate = option_string(L, "certificate"),
		.key = option_string(L, "key"),
		.ca_file = option_string(L, "ca_file"),
		.ca_path = option_string(L, "ca_path"),
	};
	raw_getfield(L, 1, "system_authorities");
	credentials.system_authorities = lua_toboolean(L, -1);
	int failure = credentials_load(L, object->context, &credentials);
	if (failure > 0)
		return failure;
	lua_settop(L, place);
	return 1;
}

/* ---- a context of LuaSec's --------------------------------------------------- */

/* context.adopt(luasec_context)
 * Takes LuaSec's userdata, or the table in which Prosody 13 keeps it. Changes nothing.
 * Returns a Context, or nil, message, code: "closed", "unsupported", "tls". */
static int context_adopt(lua_State *L)
{
	SSL_CTX **luasec = luasec_check_context(L, 1);
	/* An allocation in Lua may run the finaliser of a userdata that comes out of a weak
	 * table. So this comes before the context is looked at. */
	struct context *object = push_object(L);
	int failure = luasec_verify_context(L, 1, luasec);
	if (failure > 0)
		return failure;
	if (SSL_CTX_up_ref(*luasec) != 1)
		return push_failure(L, "tls", "cannot take a reference to the context");
	object->context = *luasec;
	object->adopted = true;
	/* LuaSec's callbacks use the userdata as long as the SSL_CTX lives. */
	lua_createtable(L, 1, 0);
	lua_pushvalue(L, 1);
	lua_rawseti(L, -2, 1);
	lua_setuservalue(L, -2);
	return 1;
}

/* ---- methods ------------------------------------------------------------------ */

/* context:apply(settings)
 * Applies the settings (doc/scripting.md has the shape) to the context and sets our callbacks: all
 * of it, or nothing. With insecure_versions, minimum_version and maximum_version also allow
 * versions that the context's options switch off; with insecure_strength, the security level holds
 * for certificates alone; with insecure_legacy_servers a client accepts servers without secure
 * renegotiation (rfc5746.4.1.client-may-accept-old-servers). Returns a table with the names that
 * the context does not know, as lists by field ({ groups = { "X25519MLKEM768" } }); `dh_bits` in it
 * says of how many bits the operator's DH parameters were, if they were too weak and were replaced.
 * Or nil, message, code: "empty" (nothing is left of a list, or of the versions), "weak" (a
 * certificate of the context's own), "tls". */
static int context_apply(lua_State *L)
{
	struct context *object = check_object(L, 1);
	bool luasec = object->adopted;
	lua_settop(L, 2);
	struct hold *hold = hold_push(L, object->context, NULL);
	bool attached = callbacks_are_attached(hold->context);
	if (!attached && !callbacks_attach(hold->context))
		return push_failure(L, "tls", "cannot observe the context");
	int results = settings_apply(L, hold->context, 2, luasec);
	if (results != 1 && !attached)
		callbacks_detach(hold->context);
	hold_release(hold);
	return results;
}

/* context:observe(label, keep_offers)
 * Sets our callbacks and changes nothing else. observer.refusals then reports the handshakes
 * that fail, with `label`, an integer from 1 to 2147483647. With `keep_offers` (boolean,
 * false), observer.offer returns the offer of the client of a finished handshake as long as
 * the connection exists. If SNI changes a connection's context, label and keep_offers of the
 * new context count; those of the first, if the new one has no label. Returns true, or nil,
 * message, code ("tls"). */
static int context_observe(lua_State *L)
{
	SSL_CTX *context = context_check(L, 1);
	luaL_checktype(L, 2, LUA_TNUMBER);
	lua_Number label = lua_tonumber(L, 2);
	if (!(label >= 1 && label <= INT32_MAX) || label != (lua_Number)(int32_t)label)
		return luaL_argerror(L, 2, "integer from 1 to 2147483647 expected");
	if (!lua_isnoneornil(L, 3))
		luaL_checktype(L, 3, LUA_TBOOLEAN);
	bool attached = callbacks_are_attached(context);
	if ((!attached && !callbacks_attach(context)) ||
	    !callbacks_set_label(context, (int32_t)label, lua_toboolean(L, 3))) {
		if (!attached)
			callbacks_detach(context);
		return push_failure(L, "tls", "cannot observe the context");
	}
	lua_pushboolean(L, 1);
	return 1;
}

/* context:settings()
 * Returns the settings of the context, read back from OpenSSL, in the shape that apply takes, and
 * `tickets`, the number of tickets after a TLS 1.3 handshake, and of an adopted context
 * `own_dh_bits`, the length of its own DH parameters (nil: it has none). The versions are nil if
 * none can be negotiated. Or nil, message, code ("tls"). */
static int context_settings(lua_State *L)
{
	struct context *object = check_object(L, 1);
	bool luasec = object->adopted;
	struct hold *hold = hold_push(L, object->context, NULL);
	int own_dh_bits = luasec ? luasec_dh_bits(L, hold->context) : 0;
	int results = readback_push(L, hold->context, own_dh_bits);
	hold_release(hold);
	return results;
}

/* context:release()
 * Restores the context to its state before the first apply, observe or disable. Returns true,
 * or nil, message, code ("tls"). */
static int context_release(lua_State *L)
{
	SSL_CTX *context = context_check(L, 1);
	callbacks_detach(context);
	if (!resumption_disable(context) || !original_restore(context))
		return push_failure(L, "tls", "cannot restore the context");
	lua_pushboolean(L, 1);
	return 1;
}

/* context:keep(known)
 * Releases the context, and keeps its state, to which the next release restores it. So apply need
 * not read that again. Nobody may change the context in between. Returns the same as settings, but
 * the same table for contexts that are alike: `known` is a table in which it keeps them. */
static int context_keep(lua_State *L)
{
	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	int results = context_release(L);
	if (results != 1)
		return results;
	struct context *object = check_object(L, 1);
	bool luasec = object->adopted;
	struct hold *hold = hold_push(L, object->context, NULL);
	int own_dh_bits = luasec ? luasec_dh_bits(L, hold->context) : 0;
	const struct snapshot *kept = original_keep(hold->context);
	results = kept == NULL ? push_failure(L, "tls", "cannot read the settings of the context")
			       : readback_push_known(L, hold->context, kept, own_dh_bits, 2);
	hold_release(hold);
	return results;
}

/* context:disable()
 * Lets no handshake on the context succeed until release. Returns true. Or nil, message, code
 * ("tls"): then only handshakes that come to the context by SNI can succeed, and release
 * restores nothing. */
static int context_disable(lua_State *L)
{
	SSL_CTX *context = context_check(L, 1);
	if (original_keep(context) == NULL) {
		SSL_CTX_set_options(context, SSL_OP_NO_SSL_MASK);
		return push_failure(L, "tls", "cannot read the settings of the context");
	}
	security_disable(context);
	lua_pushboolean(L, 1);
	return 1;
}

/* context:resume(store, name, server_names)
 * Keeps sessions in the Store, and resumes them from it if the session ID context is the
 * same: a digest of `name`, any string. `server_names` maps server names (SNI) to a string
 * that is used instead of `name` for them. With nil for the store, nothing is resumed. Needs
 * apply or observe first. Returns true, or nil, message, code ("tls"). */
static int context_resume(lua_State *L)
{
	SSL_CTX *context = context_check(L, 1);
	size_t length = 0;
	bool done;
	lua_settop(L, 4);
	if (lua_isnil(L, 2)) {
		done = resumption_disable(context);
	} else {
		struct session_store *store = store_check(L, 2);
		const char *name = luaL_checklstring(L, 3, &length);
		done = resumption_enable(context, store, name, length) &&
		       (lua_isnil(L, 4) || resumption_set_names(L, context, 4));
		if (!done)
			resumption_disable(context);
	}
	if (!done)
		return push_failure(L, "tls", "cannot set up resumption");
	lua_pushboolean(L, 1);
	return 1;
}

/* context:inspect()
 * Returns the context's own certificate and key: { certificate = Certificate, key_type
 * = "RSA", key_bits = 2048, key_matches = true, chain = list of the Certificates that are sent
 * after it, issuer = the Certificate that signed it, if it is among the authorities that peers
 * are verified with }. The table is empty without a certificate. */
static int context_inspect(lua_State *L)
{
	struct hold *hold = hold_push(L, context_check(L, 1), NULL);
	own_certificate_push(L, hold->context);
	hold_release(hold);
	return 1;
}

/* context:verify(chain, time, anchors)
 * Verifies a chain for a server: a list of Certificates in any order after the first, at `time`
 * (UTC seconds), against the context's authorities, or against the list `anchors` of Certificates
 * instead, which need be no roots. Does not look at names. Returns { verified = boolean,
 * certificate = the first one, for certificate:matches (with the name constraints of a chain that
 * is verified), path = list of the Certificates from the first to the authority, as far as it was
 * found, faults = all that OpenSSL found, as a list of { kind, message, depth = index in path less
 * 1 } }. kind: "expired", "not_yet_valid", "no_issuer" (neither sent nor an authority),
 * "self_signed", "unknown_root", "purpose", "signature", "other". Or nil, message, code ("tls"). */
static int context_verify(lua_State *L)
{
	SSL_CTX *context = context_check(L, 1);
	lua_Number time = luaL_checknumber(L, 3);
	luaL_argcheck(L, time >= 0 && time <= 253402300799.0, 3, "no UTC seconds");
	lua_settop(L, 4);
	return chain_verify(L, context, 2, 4, time);
}

/* context:certificate() -> the context's own Certificate; nil without one. */
static int context_certificate(lua_State *L)
{
	struct hold *hold = hold_push(L, context_check(L, 1), NULL);
	X509 *certificate = SSL_CTX_get0_certificate(hold->context);
	if (certificate != NULL)
		certificate_push(L, certificate);
	else
		lua_pushnil(L);
	hold_release(hold);
	return 1;
}

static int context_tostring(lua_State *L)
{
	struct context *object = luaL_checkudata(L, 1, CONTEXT_TYPE);
	lua_pushfstring(L, "Context (%s): %p",
			object->context == NULL ? "closed"
			: object->adopted       ? "adopted"
			: object->role == 's'   ? "server"
						: "client",
			(void *)object);
	return 1;
}

void context_open(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "apply", context_apply },
		{ "observe", context_observe },
		{ "settings", context_settings },
		{ "keep", context_keep },
		{ "release", context_release },
		{ "disable", context_disable },
		{ "resume", context_resume },
		{ "inspect", context_inspect },
		{ "certificate", context_certificate },
		{ "verify", context_verify },
		{ NULL, NULL },
	};
	static const luaL_Reg metamethods[] = { { "__tostring", context_tostring },
						{ NULL, NULL } };
	static const luaL_Reg functions[] = { { "new", context_new },
					      { "adopt", context_adopt },
					      { NULL, NULL } };
	register_type(L, CONTEXT_TYPE, methods, metamethods, context_close);
	luaL_newlib(L, functions);
}
