/* A client's offer: its ClientHello, read within bounds. */
#include "internal.h"

#include <string.h>

enum { VERSIONS, SUITES, GROUPS, SIGNATURE_SCHEMES };

/* The lists of numbers: the place of each in `numbers`, and the most that are kept of it. */
static const struct list {
	const char *field;
	unsigned int extension, first, most;
} lists[OFFER_LISTS] = {
	[VERSIONS] = { "versions", TLSEXT_TYPE_supported_versions, 0, 16 },
	[SUITES] = { "suites", 0, 16, 128 },
	[GROUPS] = { "groups", TLSEXT_TYPE_supported_groups, 144, 48 },
	[SIGNATURE_SCHEMES] = { "signature_schemes", TLSEXT_TYPE_signature_algorithms, 192, 48 },
};
_Static_assert(192 + 48 == OFFER_NUMBERS, "the lists fill the numbers");

/* rfc8701.2.grease-ignored: clients send these numbers at random. */
static bool is_grease(unsigned int number)
{
	return (number & 0x0f0f) == 0x0a0a && number >> 8 == (number & 0xff);
}

/* rfc5746.3.3.signal-is-no-suite, rfc7507.2.signal-is-no-suite */
static bool is_signal(unsigned int suite)
{
	return suite == 0x00ff || suite == 0x5600;
}

static unsigned int read_integer(const unsigned char *bytes)
{
	return (unsigned int)bytes[0] << 8 | bytes[1];
}

/* ---- reading ------------------------------------------------------------- */

static bool has_list(const struct client_hello *hello, unsigned int list)
{
	return (hello->present >> list & 1) != 0;
}

/* A number has two bytes. In a hello of SSLv2's form it has three, and the first is 0 for TLS
 * (rfc5246.E.2.sslv2-hello). */
static void read_numbers(struct client_hello *hello, unsigned int list, const unsigned char *bytes,
			 size_t length, size_t size)
{
	uint16_t *numbers = hello->numbers + lists[list].first;
	unsigned int count = 0;
	for (; length >= size; bytes += size, length -= size) {
		unsigned int number = read_integer(bytes + size - 2);
		/* rfc5746.3.3.signal-is-no-suite: it says what the extension says. */
		if (list == SUITES && number == 0x00ff)
			hello->secure_renegotiation = true;
		if (is_grease(number) || (list == SUITES && is_signal(number)) ||
		    (size == 3 && bytes[0] != 0))
			continue;
		if (count == lists[list].most) {
			hello->cut = true;
			break;
		}
		numbers[count++] = (uint16_t)number;
	}
	hello->counts[list] = (unsigned char)count;
	hello->present |= (unsigned char)(1U << list);
}

/* Moves into a vector behind its length. If the length is too large, the vector ends with the
 * bytes; OpenSSL refuses such a hello later. */
static bool open_vector(const unsigned char **bytes, size_t *length, size_t size)
{
	if (*length < size)
		return false;
	size_t inside = size == 1 ? **bytes : read_integer(*bytes);
	*bytes += size;
	*length -= size;
	if (*length > inside)
		*length = inside;
	return true;
}

/* Numbers of two bytes: rfc8446.4.2.3.signature-schemes, rfc8446.4.2.7.supported-groups. */
static void read_list(struct client_hello *hello, unsigned int list, SSL *connection)
{
	const unsigned char *bytes;
	size_t length;
	if (!has_list(hello, list) &&
	    SSL_client_hello_get0_ext(connection, lists[list].extension, &bytes, &length) == 1 &&
	    open_vector(&bytes, &length, list == VERSIONS ? 1 : 2))
		read_numbers(hello, list, bytes, length, 2);
}

static void read_suites(struct client_hello *hello, SSL *connection)
{
	const unsigned char *bytes;
	size_t length = SSL_client_hello_get0_ciphers(connection, &bytes);
	size_t size = 2;
#if HAVE_SSLV2_HELLO
	if (SSL_client_hello_isv2(connection))
		size = 3;
#endif
	read_numbers(hello, SUITES, bytes, length, size);
}

static void read_legacy_version(struct client_hello *hello, SSL *connection)
{
	unsigned int version = SSL_client_hello_get0_legacy_version(connection);
	unsigned char bytes[2] = { (unsigned char)(version >> 8), (unsigned char)version };
	read_numbers(hello, VERSIONS, bytes, sizeof bytes, sizeof bytes);
}

bool client_hello_find_server_name(SSL *connection, const unsigned char **name, size_t *length)
{
	if (SSL_client_hello_get0_ext(connection, TLSEXT_TYPE_server_name, name, length) != 1 ||
	    *length < 6 || (*name)[2] != TLSEXT_NAMETYPE_host_name)
		return false;
	size_t name_length = read_integer(*name + 3);
	if (name_length == 0 || name_length > *length - 5)
		return false;
	*name += 5;
	*length = name_length;
	return true;
}

/* OpenSSL refuses longer names, and those with a NUL, by itself. */
size_t client_hello_read_server_name(SSL *connection, char name[SERVER_NAME_SIZE])
{
	const unsigned char *bytes;
	size_t length;
	if (!client_hello_find_server_name(connection, &bytes, &length) ||
	    length >= SERVER_NAME_SIZE || memchr(bytes, '\0', length) != NULL)
		return 0;
	for (size_t i = 0; i < length; i++)
		name[i] = (char)(bytes[i] >= 'A' && bytes[i] <= 'Z' ? bytes[i] | 0x20 : bytes[i]);
	name[length] = '\0';
	return length;
}

static void read_server_name(struct client_hello *hello, SSL *connection)
{
	const unsigned char *name;
	size_t length;
	if (hello->server_name_length > 0 ||
	    !client_hello_find_server_name(connection, &name, &length))
		return;
	if (length > sizeof hello->server_name) {
		length = sizeof hello->server_name;
		hello->cut = true;
	}
	memcpy(hello->server_name, name, length);
	hello->server_name_length = (unsigned char)length;
}

/* rfc7301.3.1.protocol-names. Keeps only whole names. */
static void read_alpn(struct client_hello *hello, SSL *connection)
{
	const unsigned char *bytes;
	size_t length, kept = 0;
	if (hello->has_alpn ||
	    SSL_client_hello_get0_ext(connection,
				      TLSEXT_TYPE_application_layer_protocol_negotiation, &bytes,
				      &length) != 1 ||
	    !open_vector(&bytes, &length, 2))
		return;
	hello->has_alpn = true;
	while (length > 0 && *bytes < length) {
		size_t size = 1 + (size_t)*bytes;
		if (kept + size > sizeof hello->alpn) {
			hello->cut = true;
			break;
		}
		if (size != 3 || !is_grease(read_integer(bytes + 1))) {
			memcpy(hello->alpn + kept, bytes, size);
			kept += size;
		}
		bytes += size;
		length -= size;
	}
	hello->alpn_length = (unsigned char)kept;
}

static bool has_extension(SSL *connection, unsigned int type)
{
	const unsigned char *bytes;
	size_t length;
	return SSL_client_hello_get0_ext(connection, type, &bytes, &length) == 1;
}

void client_hello_read(struct client_hello *hello, SSL *connection)
{
	hello->extended_master_secret |=
	    has_extension(connection, TLSEXT_TYPE_extended_master_secret);
	hello->secure_renegotiation |= has_extension(connection, TLSEXT_TYPE_renegotiate);
	/* rfc8446.4.2.1.versions-in-extension */
	read_list(hello, VERSIONS, connection);
	if (!has_list(hello, VERSIONS))
		read_legacy_version(hello, connection);
	if (!has_list(hello, SUITES))
		read_suites(hello, connection);
	read_list(hello, GROUPS, connection);
	read_list(hello, SIGNATURE_SCHEMES, connection);
	read_server_name(hello, connection);
	read_alpn(hello, connection);
}

/* ---- pushing ------------------------------------------------------------- */

static void push_alpn(lua_State *L, const struct client_hello *hello)
{
	int count = 0;
	lua_newtable(L);
	for (size_t i = 0; i < hello->alpn_length; i += 1 + (size_t)hello->alpn[i]) {
		lua_pushlstring(L, (const char *)hello->alpn + i + 1, hello->alpn[i]);
		lua_rawseti(L, -2, ++count);
	}
}

void client_hello_push(lua_State *L, const struct client_hello *hello)
{
	lua_newtable(L);
	for (unsigned int list = 0; list < OFFER_LISTS; list++) {
		if (!has_list(hello, list))
			continue;
		lua_createtable(L, hello->counts[list], 0);
		for (int i = 0; i < hello->counts[list]; i++) {
			lua_pushinteger(L, hello->numbers[lists[list].first + (unsigned int)i]);
			lua_rawseti(L, -2, i + 1);
		}
		lua_setfield(L, -2, lists[list].field);
	}
	if (hello->server_name_length > 0)
		set_lstring(L, "server_name", hello->server_name, hello->server_name_length);
	if (hello->has_alpn) {
		push_alpn(L, hello);
		lua_setfield(L, -2, "alpn");
	}
	if (hello->cut)
		set_boolean(L, "cut", true);
}

/* The bits of `present`, and behind them: */
enum {
	SHAPE_ALPN = 1 << 4,
	SHAPE_EXTMS = 1 << 5,
	SHAPE_RENEGOTIATION = 1 << 6,
	SHAPE_CUT = 1 << 7
};

void client_hello_push_shape(lua_State *L, const struct client_hello *hello)
{
	unsigned char shape[SHAPE_SIZE], *end = shape;
	*end++ = (unsigned char)(hello->present | (hello->has_alpn ? SHAPE_ALPN : 0) |
				 (hello->extended_master_secret ? SHAPE_EXTMS : 0) |
				 (hello->secure_renegotiation ? SHAPE_RENEGOTIATION : 0) |
				 (hello->cut ? SHAPE_CUT : 0));
	for (unsigned int list = 0; list < OFFER_LISTS; list++) {
		const uint16_t *numbers = hello->numbers + lists[list].first;
		*end++ = hello->counts[list];
		for (int i = 0; i < hello->counts[list]; i++) {
			*end++ = (unsigned char)(numbers[i] >> 8);
			*end++ = (unsigned char)numbers[i];
		}
	}
	memcpy(end, hello->alpn, hello->alpn_length);
	end += hello->alpn_length;
	lua_pushlstring(L, (const char *)shape, (size_t)(end - shape));
}
