-- Other versions of OpenSSL, simulated with the one of this machine.
local core = require "xmpp_tls_policy.core"
local files = require "support.files"
local lfs = require "lfs"
local process = require "support.process"

local other_openssl = {}

local source = [[
unsigned long OpenSSL_version_num(void)
{
	return %sUL;
}

const char *OpenSSL_version(int type)
{
	return type == 7 ? "%s" : "OpenSSL %s 1 Jan 2030"; /* 7: OPENSSL_FULL_VERSION_STRING */
}
]]

-- A library that makes OpenSSL report another version, if LD_PRELOAD names the library: a number as
-- in C ("0x40000000") and a text ("4.0.0"). Returns its path.
function other_openssl.saying(number, words)
	local code, library = process.scratch "version.c", process.scratch "version.so"
	files.write(code, source:format(number, words, words))
	process.check { "cc", "-shared", "-fPIC", "-o", library, code }
	return library
end

local function replaced(text, pattern, replacement)
	local new, count = text:gsub(pattern, replacement)
	assert(count == 1, pattern)
	return new
end

-- A directory with OpenSSL's headers that claim to be of the next minor version, "OpenSSL newer".
function other_openssl.newer_headers()
	local directory = process.scratch "include"
	assert(lfs.mkdir(directory))
	assert(lfs.mkdir(directory .. "/openssl"))
	local text = assert(files.read "/usr/include/openssl/opensslv.h")
	text = replaced(text, "(# define OPENSSL_VERSION_MINOR +)(%d+)", function (define, minor)
		return define .. math.floor(tonumber(minor)) + 1
	end)
	text = replaced(text, '(# define OPENSSL_VERSION_TEXT )"[^"]*"', '%1"OpenSSL newer"')
	files.write(directory .. "/openssl/opensslv.h", text)
	return directory
end

local function rename(from, to)
	local text, count = assert(files.read(from)):gsub("libssl%.so%.%d", "libssl.so.x")
	assert(count > 0, from)
	files.write(to, text)
end

-- Writes a copy of the core at `from` that calls a libssl of its own. Returns the directory that
-- LD_LIBRARY_PATH has to name then.
function other_openssl.with_own_libssl(from, to)
	local directory = process.scratch "libraries"
	assert(lfs.mkdir(directory))
	-- This process has loaded the core, too. Its other libraries may use an older libssl.
	local name = "libssl.so." .. core.compiled_for:match "^OpenSSL (%d+)%."
	rename(assert(files.read "/proc/self/maps":match("(/%S+/" .. name:gsub("%p", "%%%0") .. ")"), name),
		directory .. "/libssl.so.x")
	rename(from, to)
	return directory
end

return other_openssl
