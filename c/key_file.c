/* The file with the keys of shared sessions: a key on each line, as hexadecimal digits; empty lines
 * and lines that begin with "#" do not count. Keys pass through secret memory only. The permissions
 * that count are those of the file that is read, not of a name that may lead to another file
 * meanwhile. */
#include "internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#define CONTENTS_MAX 4096 /* bytes */
#define PROBLEM_SIZE 128

#define WORKSPACE_TYPE "xmpp_tls_policy.key_workspace"

/* What is secret while a file is read or made. */
struct workspace {
	char contents[CONTENTS_MAX + 1];
	unsigned char key[SEALING_KEY_MAX];
};

static int fail(lua_State *L, const char *path, int error)
{
	return push_failure(L,
			    error == ENOENT   ? "missing"
			    : error == EEXIST ? "exists"
					      : "file",
			    "%s: %s", path, strerror(error));
}

/* ---- keys as text ---------------------------------------------------------------- */

static int digit(char character)
{
	return isdigit((unsigned char)character) ? character - '0'
						 : tolower((unsigned char)character) - 'a' + 10;
}

static bool are_digits(const char *line, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!isxdigit((unsigned char)line[i]))
			return false;
	return true;
}

static bool are_all_equal(const unsigned char *bytes, size_t length)
{
	for (size_t i = 1; i < length; i++)
		if (bytes[i] != bytes[0])
			return false;
	return true;
}

/* Adds the key of a line. False with the problem; "" means that OpenSSL has failed. */
static bool take_line(struct sharing_keys *keys, unsigned char *key, const char *line,
		      size_t length, unsigned int number, char problem[PROBLEM_SIZE])
{
	size_t bytes = length / 2;
	problem[0] = '\0';
	if (!are_digits(line, length)) {
		snprintf(problem, PROBLEM_SIZE,
			 "line %u has other characters than hexadecimal digits", number);
		return false;
	}
	if (length % 2 != 0 || bytes < SEALING_KEY_MIN || bytes > SEALING_KEY_MAX) {
		snprintf(problem, PROBLEM_SIZE,
			 "line %u has %zu hexadecimal digits, and a key has %d to %d", number,
			 length, 2 * SEALING_KEY_MIN, 2 * SEALING_KEY_MAX);
		return false;
	}
	for (size_t i = 0; i < bytes; i++)
		key[i] = (unsigned char)(digit(line[2 * i]) << 4 | digit(line[2 * i + 1]));
	if (are_all_equal(key, bytes)) {
		snprintf(problem, PROBLEM_SIZE, "line %u is no random key", number);
		return false;
	}
	return sharing_keys_add(keys, key, bytes);
}

static bool are_right(const struct sharing_keys *keys, char problem[PROBLEM_SIZE])
{
	problem[0] = '\0';
	if (keys->count == 0)
		snprintf(problem, PROBLEM_SIZE, "it has no key");
	else if (keys->count > SHARING_KEYS_MAX)
		snprintf(problem, PROBLEM_SIZE, "it has %u keys, and one or two are right",
			 keys->count);
	else if (sharing_keys_are_the_same(keys))
		snprintf(problem, PROBLEM_SIZE, "both of its keys are the same");
	return problem[0] == '\0';
}

static bool take_lines(struct sharing_keys *keys, struct workspace *workspace, size_t length,
		       char problem[PROBLEM_SIZE])
{
	const char *at = workspace->contents, *end = at + length;
	for (unsigned int number = 1; at < end; number++) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		const char *next = line_end == NULL ? end : line_end + 1;
		const char *last = line_end == NULL ? end : line_end;
		while (at < last && isspace((unsigned char)*at))
			at++;
		while (at < last && isspace((unsigned char)last[-1]))
			last--;
		if (at < last && *at != '#' &&
		    !take_line(keys, workspace->key, at, (size_t)(last - at), number, problem))
			return false;
		at = next;
	}
	return are_right(keys, problem);
}

/* ---- reading --------------------------------------------------------------------- */

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

/* The group and the others may neither read nor write a secret. Returns 0, or the number of values
 * of a failure. */
static int check_access(lua_State *L, const char *path, const struct stat *found)
{
	unsigned int mode = found->st_mode & 07777;
	if ((mode & 077) != 0)
		return push_failure(L, "access",
				    "%s has the mode %04o, so that others than its owner can use "
				    "it. Make it 0600 (chmod 600 %s), and a new key if somebody "
				    "may have read it",
				    path, mode, path);
	if (found->st_uid != geteuid() && found->st_uid != 0)
		return push_failure(L, "access",
				    "%s belongs to the user %u, and the server runs as %u. Give it "
				    "to the server's user, or to root",
				    path, (unsigned int)found->st_uid, (unsigned int)geteuid());
	return 0;
}

/* Reads an open file. Returns 0, or the number of values of a failure. */
static int read_file(lua_State *L, const char *path, int descriptor, struct sharing_keys *keys,
		     struct workspace *workspace)
{
	char problem[PROBLEM_SIZE];
	struct stat found;
	if (fstat(descriptor, &found) != 0)
		return fail(L, path, errno);
	if (!S_ISREG(found.st_mode))
		return push_failure(L, "file", "%s: no regular file", path);
	int failed = check_access(L, path, &found);
	if (failed != 0)
		return failed;
	ssize_t length = read_all(descriptor, workspace->contents, sizeof workspace->contents);
	if (length < 0)
		return fail(L, path, errno);
	if (length > CONTENTS_MAX)
		return push_failure(L, "file", "%s: more than %d bytes", path, CONTENTS_MAX);
	if (take_lines(keys, workspace, (size_t)length, problem))
		return 0;
	return push_failure(L, "content", "%s: %s", path,
			    problem[0] != '\0' ? problem : "the key cannot be used");
}

static void end(struct secret_memory *memory)
{
	if (memory->bytes != NULL)
		secret_memory_unmap(memory);
	memory->bytes = NULL;
}

/* Lua raises an error if it has no memory for a message. */
static int workspace_close(lua_State *L)
{
	end(luaL_checkudata(L, 1, WORKSPACE_TYPE));
	return 0;
}

/* Pushes the memory of a workspace, and Keys without keys. Returns NULL with a failure pushed. */
static struct secret_memory *begin(lua_State *L, struct sharing_keys **keys)
{
	struct secret_memory *memory = lua_newuserdata(L, sizeof *memory);
	memset(memory, 0, sizeof *memory);
	luaL_getmetatable(L, WORKSPACE_TYPE);
	lua_setmetatable(L, -2);
	*keys = sharing_keys_push(L);
	if (*keys != NULL && secret_memory_map(memory, SECRET_PAGES(sizeof(struct workspace))))
		return memory;
	push_failure(L, "memory", "no memory for keys: %s", strerror(errno));
	return NULL;
}

/* key_file.read(path) -> Keys, the one or two of the file; or nil, message, code ("missing",
 * "access": others can use the file, "content", "file", "memory"). */
static int key_file_read(lua_State *L)
{
	struct sharing_keys *keys;
	const char *path = luaL_checkstring(L, 1);
	struct secret_memory *memory = begin(L, &keys);
	if (memory == NULL)
		return 3;
	/* A pipe must not stop the server. */
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int failed = descriptor < 0 ? fail(L, path, errno)
				    : read_file(L, path, descriptor, keys, memory->bytes);
	if (descriptor >= 0)
		close(descriptor);
	end(memory);
	return failed != 0 ? failed : 1;
}

/* ---- making ---------------------------------------------------------------------- */

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

/* Writes digits, and a zero behind them. */
static char *put_hex(char *text, const unsigned char *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < length; i++) {
		*text++ = digits[bytes[i] >> 4];
		*text++ = digits[bytes[i] & 15];
	}
	*text = '\0';
	return text;
}

/* Never changes a file that is there. Returns 0, or errno. */
static int write_file(const char *path, const char *text)
{
	int descriptor =
	    open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
	if (descriptor < 0)
		return errno;
	bool written = write_all(descriptor, text, strlen(text)) && fsync(descriptor) == 0;
	int error = written ? 0 : errno;
	if (close(descriptor) != 0 && error == 0)
		error = errno;
	if (error != 0)
		unlink(path);
	return error;
}

/* Makes a key, and writes it. Returns the number of values that it pushed. */
static int make(lua_State *L, const char *path, struct sharing_keys *keys,
		struct workspace *workspace)
{
	char id[2 * SEALING_KEY_ID_SIZE + 1];
	if (RAND_priv_bytes(workspace->key, SEALING_KEY_MIN) != 1 ||
	    !sharing_keys_add(keys, workspace->key, SEALING_KEY_MIN))
		return push_failure(L, "tls", "no key can be made");
	put_hex(id, keys->keys[0].id, SEALING_KEY_ID_SIZE);
	int length = snprintf(workspace->contents, sizeof workspace->contents,
			      "# Key %s of shared sessions. Keep it secret.\n", id);
	char *end = put_hex(workspace->contents + length, workspace->key, SEALING_KEY_MIN);
	end[0] = '\n';
	end[1] = '\0';
	int error = write_file(path, workspace->contents);
	if (error != 0)
		return fail(L, path, error);
	lua_pushstring(L, id);
	return 1;
}

/* key_file.make(path) makes a file with a new key that only its owner may read and write, and never
 * changes one that is there. Returns the ID of the key, or nil, message, code ("exists", "missing":
 * its folder, "file", "memory", "tls"). */
static int key_file_make(lua_State *L)
{
	struct sharing_keys *keys;
	const char *path = luaL_checkstring(L, 1);
	struct secret_memory *memory = begin(L, &keys);
	if (memory == NULL)
		return 3;
	int values = make(L, path, keys, memory->bytes);
	end(memory);
	return values;
}

void key_file_open(lua_State *L)
{
	static const luaL_Reg none[] = { { NULL, NULL } };
	static const luaL_Reg functions[] = {
		{ "read", key_file_read },
		{ "make", key_file_make },
		{ NULL, NULL },
	};
	register_type(L, WORKSPACE_TYPE, none, none, workspace_close);
	luaL_newlib(L, functions);
}
