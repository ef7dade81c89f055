/* Context: an SSL_CTX, our own or one that LuaSec made. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

struct context {
	SSL_CTX *context; /* a reference of our own; NULL when closed */
	char role;        /* 's', 'c', or 0 */
	bool adopted;     /* the user value holds LuaSec's userdata */
};

/* Errors that others left in OpenSSL's queue are none of ours. */
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

SSL_CTX *context_scratch(lua_State *L)
{
	struct context *object = push_object(L);
	object->context = SSL_CTX_new(TLS_method());
	return object->context;
}

static int context_close(lua_State *L)
{
	struct context *object = luaL_checkudata(L, 1, CONTEXT_TYPE);
	SSL_CTX_free(object->context);
	object->context = NULL;
	return 0;
}

/* ---- a context of our own --------------------------------------------------- */

/* A string option, or NULL; it lies in the table of options. */
static const char *option_string(lua_State *L, const char *name)
{
	size_t length = 0;
	raw_getfield(L, 1, name);
	const char *value = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : NULL;
	if (!lua_isnil(L, -1) && (value == NULL || strlen(value) != length))
		luaL_error(L, "context.new: %s is no string, or has a NUL in it", name);
	lua_pop(L, 1);
	return value;
}

static void check_options(lua_State *L)
{
	static const char *const known[] = { "role",    "certificate", "key",           "ca_file",
					     "ca_path", "verify",      "openssl_cache", NULL };
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

/* OpenSSL's "system lib" does not tell an operator which file is missing. */
static bool is_readable(const char *path)
{
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	int first = fgetc(file);
	bool readable = first != EOF || !ferror(file);
	int error = errno;
	fclose(file);
	errno = error;
	return readable;
}

/* A key with a password is a key that we cannot read. */
static int no_password(char *buffer, int size, int writing, void *data)
{
	(void)buffer, (void)size, (void)writing, (void)data;
	return -1;
}

static int load_certificate(lua_State *L, SSL_CTX *context)
{
	const char *certificate = option_string(L, "certificate"), *key = option_string(L, "key");
	if (certificate == NULL && key == NULL)
		return 0;
	if (certificate == NULL || key == NULL)
		return push_failure(L, "file", "a certificate and its key have to be given both");
	if (!is_readable(certificate))
		return push_failure(L, "file", "cannot read certificate '%s': %s", certificate,
				    strerror(errno));
	if (!is_readable(key))
		return push_failure(L, "file", "cannot read key '%s': %s", key, strerror(errno));
	if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
		return push_failure(L, "parse", "'%s' holds no certificate that can be used",
				    certificate);
	SSL_CTX_set_default_passwd_cb(context, no_password);
	if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
		int reason = ERR_GET_REASON(ERR_peek_last_error());
		bool mismatch = reason == X509_R_KEY_VALUES_MISMATCH;
		if (mismatch)
			ERR_clear_error();
		return push_failure(L, mismatch ? "mismatch" : "parse",
				    mismatch ? "key '%s' does not belong to certificate '%s'"
					     : "'%s' holds no private key that can be read",
				    key, certificate);
	}
	bool matches = SSL_CTX_check_private_key(context) == 1;
	ERR_clear_error();
	if (!matches)
		return push_failure(L, "mismatch", "key '%s' does not belong to certificate '%s'",
				    key, certificate);
	return 0;
}

static int load_authorities(lua_State *L, SSL_CTX *context)
{
	const char *file = option_string(L, "ca_file"), *path = option_string(L, "ca_path");
	if (file != NULL && !is_readable(file))
		return push_failure(L, "file", "cannot read ca_file '%s': %s", file,
				    strerror(errno));
	if (path != NULL && access(path, R_OK | X_OK) != 0)
		return push_failure(L, "file", "cannot read ca_path '%s': %s", path,
				    strerror(errno));
	if ((file != NULL || path != NULL) &&
	    SSL_CTX_load_verify_locations(context, file, path) != 1)
		return push_failure(L, "parse", "cannot load certificate authorities from '%s'",
				    file != NULL ? file : path);
	return 0;
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

/* OpenSSL's own cache of sessions, without stateless tickets. */
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
 * ca_file = path, ca_path = path, verify = "none"|"require", openssl_cache =
 * boolean }
 * The certificate file is PEM, the chain after the certificate. A client
 * verifies the chain (not the name) unless told not to; a server asks for no
 * certificate unless told to. Sessions are resumed from OpenSSL's own cache only
 * if asked, to compare ours with it. Returns a Context, or nil, message, code: "file",
 * "parse", "mismatch", "tls". */
static int context_new(lua_State *L)
{
	check_options(L);
	ERR_clear_error();
	const char *role = option_string(L, "role");
	if (role == NULL || (strcmp(role, "server") != 0 && strcmp(role, "client") != 0))
		return luaL_error(L, "context.new: role is neither 'server' nor 'client'");
	struct context *object = push_object(L);
	object->role = *role;
	object->context = SSL_CTX_new(TLS_method());
	if (object->context == NULL)
		return push_failure(L, "tls", "cannot make a context");
	set_cache(L, object->context);
	set_verify(L, object->context, object->role);
	int failure = load_certificate(L, object->context);
	if (failure == 0)
		failure = load_authorities(L, object->context);
	return failure > 0 ? failure : 1;
}

/* ---- a context of LuaSec's --------------------------------------------------- */

static int push_foreign(lua_State *L, const char *ours, const char *other)
{
	return push_failure(L, "unsupported",
			    "LuaSec uses another OpenSSL than the core: %s instead of %s", other,
			    ours);
}

/* context.adopt(luasec_context)
 * Takes LuaSec's userdata, or the table that Prosody 13 keeps it in. Nothing
 * changes before apply. Returns a Context, or nil, message, code: "closed",
 * "unsupported". */
static int context_adopt(lua_State *L)
{
	if (lua_istable(L, 1)) {
		lua_getfield(L, 1, "_inner");
		lua_replace(L, 1);
	}
	SSL_CTX **luasec = luaL_testudata(L, 1, "SSL:Context");
	if (luasec == NULL)
		return luaL_argerror(L, 1, "LuaSec context expected");
	if (lua_rawlen(L, 1) < sizeof *luasec)
		return push_failure(L, "unsupported", "this LuaSec keeps its contexts otherwise");
	/* Before anything is asked of the context: of what comes out of a weak table, the
	 * collector may run the finaliser here. */
	struct context *object = push_object(L);
	if (*luasec == NULL)
		return push_failure(L, "closed", "the LuaSec context is closed");
	const char *ours = NULL, *other = NULL;
	if (!library_has_made(*luasec, &ours, &other))
		return push_foreign(L, ours, other);
	/* LuaSec leaves its own address in the SSL_CTX: the proof that both are
	 * what we take them for. */
	if (SSL_CTX_get_app_data(*luasec) != (void *)luasec)
		return push_failure(L, "unsupported", "this LuaSec keeps its contexts otherwise");
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
 * Tightens the context to the settings (README.md has the shape) and attaches
 * the observer; all of it, or nothing. Returns a table of what this OpenSSL
 * does not know, as lists of names by field ({ groups = { "X25519MLKEM768" } }),
 * with dh_bits where weaker DH parameters of the operator's were replaced. Or
 * nil, message, code: "empty" (nothing is left of a list, or of the versions),
 * "weak" (the context's own key), "tls". */
static int context_apply(lua_State *L)
{
	struct context *object = check_object(L, 1);
	bool luasec = object->adopted;
	lua_settop(L, 2);
	struct hold *hold = hold_push(L, object->context, NULL);
	bool attached = observer_is_attached(hold->context);
	if (!attached && !observer_attach(hold->context))
		return push_failure(L, "tls", "cannot observe the context");
	int results = settings_apply(L, hold->context, 2, luasec);
	if (results != 1 && !attached)
		observer_detach(hold->context);
	hold_release(hold);
	return results;
}

/* context:observe(label, keep_offers)
 * Attaches the observer, and changes nothing else: observer.refusals tells of the
 * handshakes that fail, with `label`, an integer from 1 to 2147483647. `keep_offers`
 * (boolean, false): observer.offer tells what the client of a finished handshake
 * offered, as long as the connection is there. Where SNI puts another context in the
 * place of the first, what that one was told counts, if it was told anything. True,
 * or nil, message, code ("tls"). */
static int context_observe(lua_State *L)
{
	SSL_CTX *context = context_check(L, 1);
	luaL_checktype(L, 2, LUA_TNUMBER);
	lua_Number label = lua_tonumber(L, 2);
	if (!(label >= 1 && label <= INT32_MAX) || label != (lua_Number)(int32_t)label)
		return luaL_argerror(L, 2, "integer from 1 to 2147483647 expected");
	if (!lua_isnoneornil(L, 3))
		luaL_checktype(L, 3, LUA_TBOOLEAN);
	bool attached = observer_is_attached(context);
	if ((!attached && !observer_attach(context)) ||
	    !observer_mark(context, (int32_t)label, lua_toboolean(L, 3))) {
		if (!attached)
			observer_detach(context);
		return push_failure(L, "tls", "cannot observe the context");
	}
	lua_pushboolean(L, 1);
	return 1;
}

/* context:settings()
 * What is in force, read back from OpenSSL, in the shape that apply takes; also
 * `tickets`, the number of tickets after a TLS 1.3 handshake. A version that
 * nothing can negotiate any more is nil. Or nil, message, code ("tls"). */
static int context_settings(lua_State *L)
{
	struct hold *hold = hold_push(L, context_check(L, 1), NULL);
	int results = in_force_push(L, hold->context);
	hold_release(hold);
	return results;
}

/* context:release()
 * Makes the context what it was before the first apply, observe or disable. True, or
 * nil, message, code ("tls"). */
static int context_release(lua_State *L)
{
	SSL_CTX *context = context_check(L, 1);
	observer_detach(context);
	if (!resumption_disable(context) || !adoption_end(context))
		return push_failure(L, "tls", "cannot restore the context");
	lua_pushboolean(L, 1);
	return 1;
}

/* context:disable()
 * No handshake on the context succeeds any more, until release. True, or nil,
 * message, code ("tls"): then those still fail that do not come to it by SNI, and
 * release restores nothing. */
static int context_disable(lua_State *L)
{
	SSL_CTX *context = context_check(L, 1);
	if (!adoption_begin(context)) {
		SSL_CTX_set_options(context, SSL_OP_NO_SSL_MASK);
		return push_failure(L, "tls", "cannot read the settings of the context");
	}
	adoption_disable(context);
	lua_pushboolean(L, 1);
	return 1;
}

/* context:resume(store, name, server_names)
 * Keeps sessions in the Store, and resumes them from it where the session ID
 * context is the same: a digest of `name`, any string; `server_names` maps names
 * asked for by SNI to what stands for `name` there. With nil for the store,
 * nothing is resumed. Needs apply or observe first. True, or nil, message, code ("tls"). */
static int context_resume(lua_State *L)
{
	SSL_CTX *context = context_check(L, 1);
	size_t length = 0;
	bool done;
	lua_settop(L, 4);
	if (lua_isnil(L, 2)) {
		done = resumption_disable(context);
	} else {
		struct session_store *store = session_store_check(L, 2);
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
 * The context's own certificate and key: { certificate = Certificate, key_type
 * = "RSA", key_bits = 2048, key_matches = true, chain = list of the Certificates
 * that are sent after it, issuer = the Certificate that has signed it, if it is among
 * the authorities that peers are verified with }; empty without a certificate. */
static int context_inspect(lua_State *L)
{
	struct hold *hold = hold_push(L, context_check(L, 1), NULL);
	inspection_push(L, hold->context);
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
		{ "apply", context_apply },       { "observe", context_observe },
		{ "settings", context_settings }, { "release", context_release },
		{ "disable", context_disable },   { "resume", context_resume },
		{ "inspect", context_inspect },   { NULL, NULL },
	};
	static const luaL_Reg metamethods[] = { { "__tostring", context_tostring },
						{ NULL, NULL } };
	static const luaL_Reg functions[] = { { "new", context_new },
					      { "adopt", context_adopt },
					      { NULL, NULL } };
	register_type(L, CONTEXT_TYPE, methods, metamethods, context_close);
	luaL_newlib(L, functions);
}
