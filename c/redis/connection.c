/* Connections to Redis and Valkey. hiredis' layer with callbacks is not used: it ends the process
 * when a reply comes that nobody asked for, and it calls back while it frees. Here each call
 * returns, and the caller keeps the order of replies. */
#include "redis.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define CONNECTION_TYPE "redis connection of xmpp_tls_policy"

/* Each read takes 16 KiB at most, so that a reply takes 16 MiB at most. */
#define MOST_READS_FOR_A_REPLY 1024

/* Elements of all lists of a reply. Ours have 253; entries of another program may have more fields.
 * hiredis makes place for as many as a list announces, before any of them has come. */
#define MOST_ELEMENTS 32768

/* XREAD nests four deep. hiredis frees a reply by recursion. */
#define DEEPEST 7

#define MOST_ARGUMENTS 64

struct connection {
	redisContext *context; /* NULL: closed */
	void *tls;             /* hiredis'; NULL: without TLS */
	redisReply *reply;     /* while it is turned into Lua values */
	unsigned int reads;    /* since the last reply was complete */
	size_t elements;       /* in the lists of the reply that is being read */
	const redisReplyObjectFunctions *standard; /* hiredis' */
	redisReplyObjectFunctions functions;       /* the same, with a bound on lists */
	bool is_too_long;                          /* the bound was reached */
	bool has_output;
};

static struct connection *check(lua_State *L)
{
	struct connection *connection = luaL_checkudata(L, 1, CONNECTION_TYPE);
	luaL_argcheck(L, connection->context != NULL, 1, "the connection is closed");
	return connection;
}

static int fail(lua_State *L, const char *message)
{
	lua_pushnil(L);
	lua_pushstring(L, message);
	lua_pushliteral(L, "system");
	return 3;
}

static int fail_as_hiredis(lua_State *L, const struct connection *connection)
{
	const char *reason = redis_tls_failure(connection->tls);
	return fail(L, reason != NULL ? reason : connection->context->errstr);
}

static int connection_close(lua_State *L)
{
	struct connection *connection = luaL_checkudata(L, 1, CONNECTION_TYPE);
	if (connection->reply != NULL)
		freeReplyObject(connection->reply);
	if (connection->context != NULL)
		redisFree(connection->context);
	memset(connection, 0, sizeof *connection);
	return 0;
}

/* Leaves the string on the stack, so that it lives as long as the call. */
static const char *string_field(lua_State *L, const char *field)
{
	lua_getfield(L, 1, field);
	luaL_argcheck(L, lua_isnil(L, -1) || lua_type(L, -1) == LUA_TSTRING, 1, field);
	return lua_tostring(L, -1);
}

static bool is_numeric(const char *host)
{
	unsigned char address[sizeof(struct in6_addr)];
	return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static void *create_list(const redisReadTask *task, redis_count elements)
{
	struct connection *connection = task->privdata;
	size_t count = (size_t)elements; /* a negative number is a large one then */
	connection->is_too_long = count > MOST_ELEMENTS - connection->elements;
	if (connection->is_too_long)
		return NULL;
	connection->elements += count;
	return connection->standard->createArray(task, elements);
}

/* The connection has its place in memory until hiredis' context is freed. */
static void bound_lists(struct connection *connection)
{
	redisReader *reader = connection->context->reader;
	connection->standard = reader->fn;
	connection->functions = *reader->fn;
	connection->functions.createArray = create_list;
	reader->fn = &connection->functions;
	reader->privdata = connection;
}

static redisContext *begin(const char *path, const char *host, int port)
{
	if (path != NULL)
		return redisConnectUnixNonBlock(path);
	redisContext *context = redisConnectNonBlock(host, port);
	int yes = 1;
	/* Nagle's algorithm would keep a record back. A failure only costs time. */
	if (context != NULL && context->err == 0)
		(void)setsockopt(context->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	return context;
}

/* redis.connect{ path } or { host, port, tls = name, ca_file }
 * Begins to connect: to a socket of the file system, or to a numeric address, since a name would
 * block. `tls`: the name or address for which the certificate has to be; nil: no TLS. `ca_file`:
 * see redis_tls_start. Returns a connection, or nil, message, code ("system"). Failures also show
 * later. */
static int redis_connect(lua_State *L)
{
	char failure[REDIS_FAILURE_SIZE];
	luaL_checktype(L, 1, LUA_TTABLE);
	const char *path = string_field(L, "path"), *host = string_field(L, "host");
	const char *name = string_field(L, "tls"), *ca_file = string_field(L, "ca_file");
	lua_getfield(L, 1, "port");
	lua_Integer port = luaL_optinteger(L, -1, 6379);
	luaL_argcheck(L, path != NULL || (host != NULL && is_numeric(host)), 1,
		      "neither a path nor a numeric address");
	luaL_argcheck(L, port > 0 && port < 65536, 1, "port out of range");

	struct connection *connection = lua_newuserdata(L, sizeof *connection);
	memset(connection, 0, sizeof *connection);
	luaL_getmetatable(L, CONNECTION_TYPE);
	lua_setmetatable(L, -2);
	connection->context = begin(path, host, (int)port);
	if (connection->context == NULL)
		return fail(L, "memory is short");
	if (connection->context->err != 0)
		return fail_as_hiredis(L, connection);
	bound_lists(connection);
	/* Programs that the server starts have no business with the engine. */
	if (fcntl(connection->context->fd, F_SETFD, FD_CLOEXEC) != 0)
		return fail(L, strerror(errno));
	if (name != NULL) {
		connection->tls = redis_tls_start(connection->context, name, ca_file, failure);
		if (connection->tls == NULL)
			return fail(L, failure);
	}
	return 1;
}

/* connection:fd() -> descriptor of the socket, as long as the connection is not closed. */
static int connection_fd(lua_State *L)
{
	lua_pushinteger(L, check(L)->context->fd);
	return 1;
}

/* connection:wants_to_write() -> whether write is to be called when the socket takes bytes.
 * read is to be called whenever there are bytes. */
static int connection_wants_to_write(lua_State *L)
{
	struct connection *connection = check(L);
	lua_pushboolean(L, connection->has_output && !redis_tls_waits_to_read(connection->tls));
	return 1;
}

/* connection:command(list): puts a command, a list of up to 64 strings, behind those that wait to
 * be written. Returns true, or nil, message, code. */
static int connection_command(lua_State *L)
{
	const char *arguments[MOST_ARGUMENTS];
	size_t lengths[MOST_ARGUMENTS];
	struct connection *connection = check(L);
	luaL_checktype(L, 2, LUA_TTABLE);
	size_t count = lua_rawlen(L, 2);
	luaL_argcheck(L, count > 0 && count <= MOST_ARGUMENTS, 2, "no list of 1 to 64 strings");
	for (size_t i = 0; i < count; i++) {
		lua_rawgeti(L, 2, (int)i + 1);
		luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 2, "no list of strings");
		arguments[i] = lua_tolstring(L, -1, &lengths[i]);
		lua_pop(L, 1); /* the list keeps the string */
	}
	if (redisAppendCommandArgv(connection->context, (int)count, arguments, lengths) != REDIS_OK)
		return fail_as_hiredis(L, connection);
	connection->has_output = true;
	lua_pushboolean(L, 1);
	return 1;
}

/* connection:write(): writes as much as the socket takes. Returns true, or nil, message, code: the
 * connection is of no more use then. */
static int connection_write(lua_State *L)
{
	struct connection *connection = check(L);
	int done = 0;
	redis_tls_begin_call(connection->tls);
	if (redisBufferWrite(connection->context, &done) != REDIS_OK)
		return fail_as_hiredis(L, connection);
	connection->has_output = done == 0;
	lua_pushboolean(L, 1);
	return 1;
}

/* connection:read(): reads once, up to 16 KiB. Returns the same as write. */
static int connection_read(lua_State *L)
{
	struct connection *connection = check(L);
	redis_tls_begin_call(connection->tls);
	if (redisBufferRead(connection->context) != REDIS_OK)
		return fail_as_hiredis(L, connection);
	if (++connection->reads > MOST_READS_FOR_A_REPLY)
		return fail(L, "a reply is too long");
	lua_pushboolean(L, 1);
	return 1;
}

/* A reply that is not complete is checked too, before it can nest much deeper. */
static bool is_deep(const struct connection *connection, const redisReply *reply)
{
	return reply != NULL ? redis_reply_is_deep(reply, DEEPEST)
			     : connection->context->reader->ridx > DEEPEST;
}

static void free_reply(struct connection *connection)
{
	if (connection->reply != NULL)
		freeReplyObject(connection->reply);
	connection->reply = NULL;
}

/* connection:reply() -> true and the next reply that is complete, as redis_reply_push pushes it;
 * false if there is none yet; nil, message, code if the bytes make no sense. */
static int connection_reply(lua_State *L)
{
	struct connection *connection = check(L);
	void *reply = NULL;
	free_reply(connection); /* of a call that raised an error */
	if (redisGetReplyFromReader(connection->context, &reply) != REDIS_OK)
		return connection->is_too_long ? fail(L, "a reply is too long")
					       : fail_as_hiredis(L, connection);
	connection->reply = reply;
	if (is_deep(connection, reply))
		return fail(L, "a reply nests too deep");
	lua_pushboolean(L, reply != NULL);
	if (reply == NULL)
		return 1;
	connection->reads = 0;
	connection->elements = 0;
	int values = redis_reply_push(L, connection->reply);
	free_reply(connection);
	return 1 + values;
}

static int connection_tostring(lua_State *L)
{
	struct connection *connection = luaL_checkudata(L, 1, CONNECTION_TYPE);
	lua_pushfstring(L, "redis connection%s", connection->context == NULL ? " (closed)" : "");
	return 1;
}

static void register_connection(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "close", connection_close }, { "command", connection_command },
		{ "fd", connection_fd },       { "read", connection_read },
		{ "reply", connection_reply }, { "wants_to_write", connection_wants_to_write },
		{ "write", connection_write }, { NULL, NULL },
	};
	luaL_newmetatable(L, CONNECTION_TYPE);
	lua_pushcfunction(L, connection_close);
	lua_setfield(L, -2, "__gc");
#if HAVE_LUA_CLOSE
	lua_pushcfunction(L, connection_close);
	lua_setfield(L, -2, "__close");
#endif
	lua_pushcfunction(L, connection_tostring);
	lua_setfield(L, -2, "__tostring");
	luaL_newlib(L, methods);
	lua_setfield(L, -2, "__index");
	/* Lua code must not call __gc on an object of another type. */
	lua_pushliteral(L, "locked");
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 1);
}

/* Returns a table: connect; `has_tls`, whether it speaks TLS; `hiredis`, its version. */
__attribute__((visibility("default"))) int luaopen_xmpp_tls_policy_redis(lua_State *L);

int luaopen_xmpp_tls_policy_redis(lua_State *L)
{
	register_connection(L);
	lua_newtable(L);
	lua_pushcfunction(L, redis_connect);
	lua_setfield(L, -2, "connect");
	lua_pushboolean(L, HAVE_REDIS_TLS);
	lua_setfield(L, -2, "has_tls");
	lua_pushfstring(L, "%d.%d.%d", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
	lua_setfield(L, -2, "hiredis");
	return 1;
}
