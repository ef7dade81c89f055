-- The rules of DESIGN.md for files, checked in the files.
local lfs = require "lfs"
local process = require "support.process"

local ROOT = "lua"

local function read(path)
	local file = assert(io.open(path))
	local text = file:read "*a"
	file:close()
	return text
end

local function each_file(folder, visit)
	for name in lfs.dir(folder) do
		local path = folder .. "/" .. name
		if name:find "%.lua$" then
			visit(path)
		elseif name:sub(1, 1) ~= "." and lfs.attributes(path, "mode") == "directory" then
			each_file(path, visit)
		end
	end
end

-- Module name -> { path, text (without comments) }.
local function modules()
	local found = {}
	each_file(ROOT, function (path)
		local name = path:sub(#ROOT + 2, -5):gsub("/", "."):gsub("%.init$", "")
		found[name] = { path = path, text = read(path):gsub("%-%-[^\n]*", "") }
	end)
	return found
end

-- The modules of ours that a text requires.
local function required(text)
	local names = {}
	for name in text:gmatch "require%s*%(?%s*[\"'](xmpp_tls_policy[%w_.]*)[\"']" do
		-- One that ends in a dot is put together when it runs.
		names[#names + 1] = not name:find "%.$" and name or nil
	end
	return names
end

-- A module may be required by a higher layer, and by its own. Names with a dot at the end stand for
-- a folder.
local layers = {
	["xmpp_tls_policy.core"] = 0,
	["xmpp_tls_policy.configuration_log"] = 1,
	["xmpp_tls_policy.copy"] = 1, ["xmpp_tls_policy.counters"] = 1, ["xmpp_tls_policy.date"] = 1,
	["xmpp_tls_policy.invisible"] = 0,
	["xmpp_tls_policy.latest_entries"] = 1, ["xmpp_tls_policy.log_limit"] = 1, ["xmpp_tls_policy.network"] = 1,
	["xmpp_tls_policy.refused_peers"] = 1, ["xmpp_tls_policy.text"] = 1, ["xmpp_tls_policy.unwritten_records"] = 1,
	["xmpp_tls_policy.version"] = 1, ["xmpp_tls_policy.work_queue"] = 1,
	["xmpp_tls_policy.policy"] = 2, ["xmpp_tls_policy.policy."] = 2,
	-- The library as scripts load it.
	["xmpp_tls_policy"] = 3,
	["xmpp_tls_policy.certificates."] = 3, ["xmpp_tls_policy.contexts."] = 3, ["xmpp_tls_policy.handshakes."] = 3,
	["xmpp_tls_policy.sessions."] = 3,
	["xmpp_tls_policy.metrics"] = 3, ["xmpp_tls_policy.metrics_text"] = 3,
	["xmpp_tls_policy.stream."] = 4, ["xmpp_tls_policy.fleet."] = 4, ["xmpp_tls_policy.digest."] = 4,
	["xmpp_tls_policy.audit."] = 5,
	["xmpp_tls_policy.forecast"] = 5,
	["xmpp_tls_policy.render"] = 5, ["xmpp_tls_policy.render."] = 5,
	["xmpp_tls_policy.service"] = 5,
	["xmpp_tls_policy.commands"] = 6, ["xmpp_tls_policy.commands."] = 6,
	["xmpp_tls_policy.servers.contract"] = 6,
	["xmpp_tls_policy.servers."] = 7,
	["xmpp_tls_policy.command_line"] = 8, ["xmpp_tls_policy.command_line."] = 8,
	["mod_xmpp_tls_policy"] = 8,
}

local function layer_of(name)
	local folder = name
	while folder do
		if layers[folder] then
			return layers[folder]
		end
		folder = folder:gsub("%.$", ""):match "^(.*%.)[^.]+$"
	end
end

-- Names of the public functions in a file's text that have no comment above them. Public are those of the table that
-- the file returns, and methods.
local function without_comment(text)
	local returned, above, names = text:match "\nreturn ([%w_]+)%s*$", "", {}
	for line in text:gmatch "([^\n]*)\n" do
		local owner, name = line:match "^function ([%w_]+)[.:]([%w_]+)"
		if owner and (owner == returned or owner == "methods") and not above:find "^%-%-%-? " then
			names[#names + 1] = name
		end
		above = line
	end
	return names
end

-- Signs of a server, which only servers/NAME/ may contain, and lua/mod_xmpp_tls_policy.lua, which a server loads.
local knows_a_server = {
	{ "a module of the server", "require%s*%(?%s*[\"']util%." },
	{ "a module of the server", "require%s*%(?%s*[\"']core%." },
	{ "a module of the server", "require%s*%(?%s*[\"']net%." },
	{ "a module of the server", "require%s*%(?%s*[\"']prosody%." },
	{ "a module of the server", "require%s*%(?%s*[\"']ssl[\"']" },
	{ "the server's global", "%f[%w_]prosody%f[^%w_]%s*[.%[]" },
	{ "the server's global", "%f[%w_]hosts%s*%[" },
	{ "the API of modules", "%f[%w_]module:" },
	{ "the API of modules", ":hook%s*%(" },
	{ "the API of modules", ":get_option" },
	{ "the API of modules", ":open_store" },
	{ "a field of a session", "%f[%w_]session%.[%a_]+" },
	{ "a field of a session", "%f[%w_]origin%.[%a_]+" },
}

describe("the files below lua/", function ()
	local all = modules()

	it("are installed, all of them, under the module name that their path says", function ()
		local folder = process.scratch "rock"
		process.check {
			"make", "-s", "rock-files", "CORE=Makefile", "REDIS=README.md", "LUADIR=" .. folder .. "/lua",
			"LIBDIR=" .. folder .. "/lib", "BINDIR=" .. folder .. "/bin",
		}
		process.check { "diff", "-r", "--exclude=bin", ROOT, folder .. "/lua" }
		process.check { "diff", "-r", ROOT .. "/bin", folder .. "/bin" }
		process.check { "cmp", "Makefile", folder .. "/lib/xmpp_tls_policy/core.so" }
		process.check { "cmp", "README.md", folder .. "/lib/xmpp_tls_policy/redis.so" }
	end)

	it("stand in no list of a rockspec", function ()
		for name in lfs.dir "rockspec" do
			assert.not_matches("%.lua\"", name:find "%.rockspec$" and read("rockspec/" .. name) or "")
		end
	end)

	for name, module in pairs(all) do
		it(name .. " has a comment above each public function", function ()
			assert.are.same({}, without_comment(read(module.path)))
		end)

		if name:find "^xmpp_tls_policy" and not name:find "^xmpp_tls_policy%.servers%.%a+" then
			it(name .. " knows no server", function ()
				for _, sign in ipairs(knows_a_server) do
					local found = module.text:match(sign[2])
					assert.is_nil(found, ("%s: %s"):format(sign[1], tostring(found)))
				end
			end)
		end

		it(name .. " requires only lower layers and its own", function ()
			local own = assert(layer_of(name), "no layer")
			for _, other in ipairs(required(module.text)) do
				assert.is_truthy(other == "xmpp_tls_policy.core" or all[other], other .. " is no file")
				local layer = layer_of(other)
				assert.is_true(layer <= own, ("%s, of layer %s, requires %s, of layer %s"):format(name, own, other, layer))
			end
		end)
	end
end)
