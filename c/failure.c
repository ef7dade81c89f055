/* Failures that Lua gets as nil, message, code. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>

#include <openssl/err.h>

int push_failure(lua_State *L, const char *code, const char *format, ...)
{
	char message[1024];
	va_list arguments;
	unsigned long error = ERR_peek_last_error();
	const char *reason = error == 0 ? NULL : ERR_reason_error_string(error);

	va_start(arguments, format);
	vsnprintf(message, sizeof message, format, arguments);
	va_end(arguments);
	ERR_clear_error();

	lua_pushnil(L);
	if (reason != NULL)
		lua_pushfstring(L, "%s (%s)", message, reason);
	else
		lua_pushstring(L, message);
	lua_pushstring(L, code);
	return 3;
}
