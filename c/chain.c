/* Chains of certificates, verified against authorities. */
#include "internal.h"

#include <limits.h>
#include <string.h>

#include <openssl/err.h>

/* A chain that is longer is cut. OpenSSL verifies one of at most 100 certificates. */
#define CERTIFICATES_MAX 100
#define FAULTS_MAX       32

#define CHAIN_HOLD_TYPE "xmpp_tls_policy.chain.hold"

/* ---- userdata -------------------------------------------------------- */

struct fault {
	int code, depth;
};

/* What OpenSSL verifies, which outlives errors of Lua's. */
struct chain_hold {
	X509_STORE_CTX *verification;
	SSL_CTX *context;
	STACK_OF(X509) * sent;
	STACK_OF(X509) * anchors;
	struct fault faults[FAULTS_MAX];
	int count;
};

static void release_hold(struct chain_hold *hold)
{
	X509_STORE_CTX_free(hold->verification);
	SSL_CTX_free(hold->context);
	sk_X509_pop_free(hold->sent, X509_free);
	sk_X509_pop_free(hold->anchors, X509_free);
	*hold = (struct chain_hold){ .count = 0 };
}

static int hold_close(lua_State *L)
{
	release_hold(luaL_checkudata(L, 1, CHAIN_HOLD_TYPE));
	return 0;
}

void chain_open(lua_State *L)
{
	static const luaL_Reg none[] = { { NULL, NULL } };

	register_type(L, CHAIN_HOLD_TYPE, none, none, hold_close);
}

static struct chain_hold *push_hold(lua_State *L, SSL_CTX *context)
{
	struct chain_hold *hold = lua_newuserdata(L, sizeof *hold);

	*hold = (struct chain_hold){ .count = 0 };
	luaL_getmetatable(L, CHAIN_HOLD_TYPE);
	lua_setmetatable(L, -2);
	if (SSL_CTX_up_ref(context) != 1)
		luaL_error(L, "the context cannot be referenced");
	hold->context = context;
	return hold;
}

/* ---- lists of certificates -------------------------------------------- */

static void push_list(lua_State *L, const STACK_OF(X509) * chain)
{
	lua_newtable(L);
	for (int i = 0; i < sk_X509_num(chain) && i < CERTIFICATES_MAX; i++) {
		certificate_push(L, sk_X509_value(chain, i));
		lua_rawseti(L, -2, i + 1);
	}
}

/* Reads a list of Certificates at `index`, with references. Raises an error for anything else. */
static STACK_OF(X509) * read_list(lua_State *L, int index, STACK_OF(X509) * *list)
{
	luaL_checktype(L, index, LUA_TTABLE);
	*list = sk_X509_new_null();
	for (int i = 1; *list != NULL && i <= CERTIFICATES_MAX; i++) {
		lua_rawgeti(L, index, i);
		if (lua_isnil(L, -1)) {
			lua_pop(L, 1);
			return *list;
		}
		X509 *certificate = certificate_check(L, -1);
		if (X509_up_ref(certificate) != 1 || sk_X509_push(*list, certificate) <= 0)
			luaL_error(L, "a certificate cannot be referenced");
		lua_pop(L, 1);
	}
	if (*list == NULL)
		luaL_error(L, "no memory for a list of certificates");
	return *list;
}

/* ---- verification ------------------------------------------------------ */

/* The faults for which a caller has a reason to tell one from another. */
static const struct {
	int code;
	const char *name;
} kinds[] = {
	{ X509_V_ERR_CERT_HAS_EXPIRED, "expired" },
	{ X509_V_ERR_CERT_NOT_YET_VALID, "not_yet_valid" },
	{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "no_issuer" },
	{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "no_issuer" },
	{ X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "no_issuer" },
	{ X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "self_signed" },
	{ X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "unknown_root" },
	{ X509_V_ERR_INVALID_PURPOSE, "purpose" },
	{ X509_V_ERR_CERT_SIGNATURE_FAILURE, "signature" },
};

static const char *kind_of(int code)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (kinds[i].code == code)
			return kinds[i].name;
	return "other";
}

/* Notes each fault, and goes on to the next one. */
static int note_fault(int good, X509_STORE_CTX *verification)
{
	struct chain_hold *hold = X509_STORE_CTX_get_app_data(verification);

	if (good == 1)
		return 1;
	if (hold->count >= FAULTS_MAX)
		return 0;
	hold->faults[hold->count++] = (struct fault){
		X509_STORE_CTX_get_error(verification),
		X509_STORE_CTX_get_error_depth(verification),
	};
	return 1;
}

static bool prepare(struct chain_hold *hold, lua_Number time)
{
	X509_VERIFY_PARAM *parameters;

	hold->verification = X509_STORE_CTX_new();
	if (hold->verification == NULL ||
	    X509_STORE_CTX_init(hold->verification, SSL_CTX_get_cert_store(hold->context),
				sk_X509_value(hold->sent, 0), hold->sent) != 1 ||
	    X509_STORE_CTX_set_app_data(hold->verification, hold) != 1 ||
	    X509_STORE_CTX_set_default(hold->verification, "ssl_server") != 1)
		return false;
	X509_STORE_CTX_set_verify_cb(hold->verification, note_fault);
	parameters = X509_STORE_CTX_get0_param(hold->verification);
	X509_VERIFY_PARAM_set_time(parameters, (time_t)time);
	if (hold->anchors != NULL) {
		X509_STORE_CTX_set0_trusted_stack(hold->verification, hold->anchors);
		/* An anchor need not be a root. */
		return X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN) == 1;
	}
	return true;
}

static void push_faults(lua_State *L, const struct chain_hold *hold)
{
	lua_newtable(L);
	for (int i = 0; i < hold->count; i++) {
		lua_newtable(L);
		set_string(L, "kind", kind_of(hold->faults[i].code));
		set_string(L, "message", X509_verify_cert_error_string(hold->faults[i].code));
		set_integer(L, "depth", hold->faults[i].depth);
		lua_rawseti(L, -2, i + 1);
	}
}

int chain_verify(lua_State *L, SSL_CTX *context, int sent, int anchors, lua_Number time)
{
	struct chain_hold *hold = push_hold(L, context);
	int result;

	if (sk_X509_num(read_list(L, sent, &hold->sent)) < 1)
		return luaL_argerror(L, sent, "an empty chain");
	if (!lua_isnoneornil(L, anchors))
		read_list(L, anchors, &hold->anchors);
	ERR_clear_error();
	if (!prepare(hold, time))
		return push_failure(L, "tls", "the chain cannot be verified");
	result = X509_verify_cert(hold->verification);
	ERR_clear_error();
	if (result < 0)
		return push_failure(L, "tls", "the chain cannot be verified");
	if (result == 0 && hold->count == 0)
		note_fault(0, hold->verification);
	bool verified = result == 1 && hold->count == 0;
	const STACK_OF(X509) *path = X509_STORE_CTX_get0_chain(hold->verification);
	lua_newtable(L);
	set_boolean(L, "verified", verified);
	certificate_push_peer(L, sk_X509_value(hold->sent, 0), verified ? path : NULL);
	lua_setfield(L, -2, "certificate");
	push_list(L, path);
	lua_setfield(L, -2, "path");
	push_faults(L, hold);
	lua_setfield(L, -2, "faults");
	release_hold(hold);
	return 1;
}
