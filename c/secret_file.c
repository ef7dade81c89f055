/* Files with secrets: their permissions are those of the file that is read, not of a name that may
 * lead to another file meanwhile. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#define SECRET_FILE_MAX 4096 /* bytes */

static int fail(lua_State *L, const char *path, int error)
{
	return push_failure(L,
			    error == ENOENT   ? "missing"
			    : error == EEXIST ? "exists"
					      : "file",
			    "%s: %s", path, strerror(error));
}

/* Returns the number of bytes, at most `size`, or -1 with errno set. */
static ssize_t read_all(int descriptor, char *bytes, size_t size)
{
	size_t length = 0;
	while (length < size) {
		ssize_t count = read(descriptor, bytes + length, size - length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -1;
		if (count == 0)
			break;
		length += (size_t)count;
	}
	return (ssize_t)length;
}

static bool write_all(int descriptor, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t count = write(descriptor, bytes, length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return false;
		bytes += count;
		length -= (size_t)count;
	}
	return true;
}

/* Pushes the contents and the table. */
static void push_contents(lua_State *L, const char *bytes, size_t length, const struct stat *found)
{
	lua_pushlstring(L, bytes, length);
	lua_newtable(L);
	set_integer(L, "mode", (lua_Integer)(found->st_mode & 07777));
	set_integer(L, "owner", (lua_Integer)found->st_uid);
	set_integer(L, "reader", (lua_Integer)geteuid());
}

/* secret_file.read(path) -> the contents of a regular file of at most 4096 bytes, and { mode (its
 * permission bits), owner, reader (user IDs; the latter of this process) }; or nil, message, code
 * ("missing", "file"). */
static int secret_file_read(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	char bytes[SECRET_FILE_MAX + 1];
	struct stat found;
	/* A pipe must not stop the server. */
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (descriptor < 0)
		return fail(L, path, errno);
	ssize_t length = -1;
	int error = fstat(descriptor, &found) != 0 ? errno : 0;
	if (error == 0 && S_ISREG(found.st_mode)) {
		length = read_all(descriptor, bytes, sizeof bytes);
		error = length < 0 ? errno : 0;
	}
	close(descriptor);
	if (error != 0)
		return fail(L, path, error);
	if (length < 0)
		return push_failure(L, "file", "%s: no regular file", path);
	if (length > SECRET_FILE_MAX) {
		OPENSSL_cleanse(bytes, sizeof bytes);
		return push_failure(L, "file", "%s: more than %d bytes", path, SECRET_FILE_MAX);
	}
	push_contents(L, bytes, (size_t)length, &found);
	OPENSSL_cleanse(bytes, sizeof bytes);
	return 2;
}

/* secret_file.create(path, contents) makes a file that only its owner may read and write, and never
 * changes one that is there. Returns true, or nil, message, code ("exists", "missing": its folder,
 * "file"). */
static int secret_file_create(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	size_t length = 0;
	const char *contents = luaL_checklstring(L, 2, &length);
	int descriptor =
	    open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
	if (descriptor < 0)
		return fail(L, path, errno);
	bool written = write_all(descriptor, contents, length) && fsync(descriptor) == 0;
	int error = written ? 0 : errno;
	if (close(descriptor) != 0 && error == 0)
		error = errno;
	if (error != 0) {
		unlink(path);
		return fail(L, path, error);
	}
	lua_pushboolean(L, 1);
	return 1;
}

void secret_file_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "read", secret_file_read },
		{ "create", secret_file_create },
		{ NULL, NULL },
	};
	luaL_newlib(L, functions);
}
