/* Records of handshakes that failed, kept until Lua asks for them: a ring of fixed size, in
 * which the newest takes the place of the oldest. */
#include "internal.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>

#define RECORDS 128 /* a power of two */

struct record {
	struct failed_handshake failure;
	struct timespec time;
	bool has_hello;
	struct client_hello hello;
	char server_name[256]; /* "": none; OpenSSL takes no longer one */
};

static struct record records[RECORDS];

/* The numbers of records ever made, and of those that Lua got or lost. */
static uint64_t recorded, taken;

/* The number of a record, or of the oldest one that is still there. */
static uint64_t first_kept(uint64_t number)
{
	uint64_t oldest = recorded > RECORDS ? recorded - RECORDS : 0;
	return number > oldest ? number : oldest;
}

void failed_handshake_record(const struct failed_handshake *failure, const char *server_name,
			     const struct client_hello *hello)
{
	struct record *record = &records[recorded % RECORDS];
	record->failure = *failure;
	clock_gettime(CLOCK_REALTIME, &record->time);
	record->has_hello = hello != NULL;
	if (hello != NULL)
		record->hello = *hello;
	size_t length =
	    server_name == NULL ? 0 : strnlen(server_name, sizeof record->server_name - 1);
	if (length > 0)
		memcpy(record->server_name, server_name, length);
	record->server_name[length] = '\0';
	recorded++;
}

/* ---- pushing ------------------------------------------------------------- */

static void set_alert(lua_State *L, const struct failed_handshake *failure)
{
	if (failure->alert < 0)
		return;
	alert_name_push(L, failure->alert);
	lua_setfield(L, -2, "alert");
	set_boolean(L, "alert_sent", failure->alert_sent);
}

static void set_address(lua_State *L, const struct failed_handshake *failure)
{
	char text[INET6_ADDRSTRLEN];
	if (failure->family == AF_UNSPEC ||
	    inet_ntop(failure->family, failure->address, text, sizeof text) == NULL)
		return;
	set_string(L, "address", text);
	set_integer(L, "port", failure->port);
}

static void push_record(lua_State *L, const struct record *record)
{
	const struct failed_handshake *failure = &record->failure;
	lua_createtable(L, 0, 11);
	lua_pushnumber(L, (lua_Number)record->time.tv_sec +
			      (lua_Number)record->time.tv_nsec / (lua_Number)1e9);
	lua_setfield(L, -2, "time");
	set_string(L, "role", failure->server ? "server" : "client");
	if (failure->label > 0)
		set_integer(L, "label", failure->label);
	set_address(L, failure);
	set_alert(L, failure);
	if (failure->error != 0)
		set_string(L, "reason", ERR_reason_error_string(failure->error));
	if (failure->dhe_limited)
		set_string(L, "limit", "dhe");
	if (failure->unanswered > 0)
		set_integer(L, "unanswered", failure->unanswered);
	if (record->server_name[0] != '\0')
		set_string(L, "server_name", record->server_name);
	if (record->has_hello) {
		client_hello_push(L, &record->hello);
		lua_setfield(L, -2, "offer");
	}
}

/* If Lua runs out of memory here, nothing counts as taken, and the next call returns it all.
 * Lua may run a finaliser that ends a connection and moves the ring on, so each record is
 * copied first. */
int failed_handshakes_push(lua_State *L)
{
	const uint64_t from = taken, until = recorded;
	int count = 0;
	lua_newtable(L);
	for (uint64_t number = first_kept(from); number < until; number = first_kept(number + 1)) {
		const struct record record = records[number % RECORDS];
		push_record(L, &record);
		lua_rawseti(L, -2, ++count);
	}
	lua_pushinteger(L, (lua_Integer)(until - from) - count);
	if (taken < until)
		taken = until;
	return 2;
}
