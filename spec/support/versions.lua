-- The versions that the specs run on. Each run prints them (see .busted), and specs that depend on
-- a version ask here.

local core = require "xmpp_tls_policy.core"
local debian_tree = require "support.debian_tree"
local files = require "support.files"
local process = require "support.process"
local ssl = require "ssl"

local versions = {
	-- "Lua 5.4" or "LuaJIT 2.1.0-beta3"
	lua = jit and jit.version or _VERSION, -- luacheck: ignore 113/jit
	-- OpenSSL's, such as "3.0.15"
	openssl = core.openssl:match "^OpenSSL (%S+)",
	luasec = ssl._VERSION,
}

local prosody_versions = {}

-- What `prosodyctl about` prints. The configuration of the system is for Prosody's user alone.
local function about(root)
	local path = process.scratch "prosody.cfg.lua"
	files.write(path, "run_as_root = true\n")
	return process.check(debian_tree.within(root, { "prosodyctl", "--config", path, "about" }))
end

-- The version of Prosody, such as "0.12.3", on this system or in a tree (see debian_tree.lua).
function versions.prosody(root)
	local key = root or "/"
	prosody_versions[key] = prosody_versions[key] or about(root):match "Prosody (%d%S*)"
	return assert(prosody_versions[key], "prosodyctl does not say its version")
end

-- Whether Prosody is of this version or a newer one: 13 for 13.0.
function versions.prosody_from(version)
	return tonumber(versions.prosody():match "^%d+%.?%d*") >= version
end

-- Whether OpenSSL knows a group by this name.
function versions.has_group(name)
	local dropped = assert(core.context.new { role = "client" }):apply { groups = { name, "x25519" } }
	return dropped ~= nil and dropped.groups == nil
end

-- Whether the groups of a client's key shares can be set, which is so from OpenSSL 3.5 on.
function versions.has_key_shares()
	local major, minor = versions.openssl:match "^(%d+)%.(%d+)"
	return tonumber(major) * 100 + tonumber(minor) >= 305
end

-- All versions in one line, with the name of the system.
function versions.line()
	local system = (files.read "/etc/os-release" or ""):match 'PRETTY_NAME="([^"]*)"' or "unknown system"
	return ("On %s: %s, OpenSSL %s, LuaSec %s, Prosody %s"):format(
		system, versions.lua, versions.openssl, versions.luasec, versions.prosody())
end

return versions
