-- The options of an operator, and the exact text of every error.
local core = require "xmpp_tls_policy.core"
local options = require "xmpp_tls_policy.policy.options"
local tls_policy = require "xmpp_tls_policy"

local function messages(given)
	local policy, errors = tls_policy.policy(given)
	assert.is_nil(policy)
	local texts = {}
	for index, problem in ipairs(errors) do
		texts[index] = problem.message
	end
	return texts
end

local LEVELS = 'accepted: "should", "must"'
local PROFILES = 'accepted: "draft-saintandre-xmpp-tls-02", "rfc7590", "rfc9325", "bcp195-2026-07", '
	.. '"xmpp-2026-07", "mozilla-intermediate-6.0", "mozilla-modern-6.0", "nist-sp-800-52r2", "bsi-tr-02102-2-2025"'
local KNOWN = 'known: "certificate_change", "channel_binding", "dhe_per_second", "digest", "exceptions", "level", '
	.. '"mode", "notify_admins", "profile", "resumption", "unauthenticated_s2s"'
local NAMELESS = 'which has no name; accepted: a table such as { level = "should" }; known names: ' .. KNOWN:sub(8)

local function cycle()
	local table_of_itself = {}
	table_of_itself.itself = table_of_itself
	return table_of_itself
end

local hostile = setmetatable({}, {
	__tostring = function() error("called") end,
	__index = function() error("called") end,
	__eq = function() error("called") end,
	__len = function() error("called") end,
})

-- the options, all messages
local cases = {
	{ { level = "shuold" }, { 'xmpp_tls_policy.level is "shuold"; ' .. LEVELS .. '; did you mean "should"?' } },
	{ { level = "MUST" }, { 'xmpp_tls_policy.level is "MUST"; ' .. LEVELS .. '; did you mean "must"?' } },
	{ { level = "strict" }, { 'xmpp_tls_policy.level is "strict"; ' .. LEVELS } },
	{ { level = "" }, { 'xmpp_tls_policy.level is ""; ' .. LEVELS } },
	{ { level = 2 }, { "xmpp_tls_policy.level is 2; " .. LEVELS } },
	{ { level = 1.5 }, { "xmpp_tls_policy.level is 1.5; " .. LEVELS } },
	{ { level = 0 / 0 }, { "xmpp_tls_policy.level is not a number; " .. LEVELS } },
	{ { level = math.huge }, { "xmpp_tls_policy.level is infinity; " .. LEVELS } },
	{ { level = -math.huge }, { "xmpp_tls_policy.level is minus infinity; " .. LEVELS } },
	{ { level = true }, { "xmpp_tls_policy.level is true; " .. LEVELS } },
	{ { level = false }, { "xmpp_tls_policy.level is false; " .. LEVELS } },
	{ { level = print }, { "xmpp_tls_policy.level is a function; " .. LEVELS } },
	{ { level = io.stdout }, { "xmpp_tls_policy.level is a userdata; " .. LEVELS } },
	{ { level = coroutine.create(function() end) }, { "xmpp_tls_policy.level is a thread; " .. LEVELS } },
	{ { level = { "must" } }, { "xmpp_tls_policy.level is a table; " .. LEVELS } },
	{ { level = cycle() }, { "xmpp_tls_policy.level is a table; " .. LEVELS } },
	{ { level = hostile }, { "xmpp_tls_policy.level is an empty table; " .. LEVELS } },
	{ { level = "must\n\27[31m\0\"\\" },
		{ 'xmpp_tls_policy.level is "must\\010\\027[31m\\000\\"\\"; ' .. LEVELS } },
	{ { level = "m\195\188st" },
		{ 'xmpp_tls_policy.level is "m\195\188st"; ' .. LEVELS .. '; did you mean "must"?' } },
	{ { level = ("x"):rep(1000000) },
		{ 'xmpp_tls_policy.level is "' .. ("x"):rep(60) .. '..." (1000000 bytes); ' .. LEVELS } },
	{ { profile = "rfc9352" },
		{ 'xmpp_tls_policy.profile is "rfc9352"; ' .. PROFILES .. '; did you mean "rfc9325"?' } },
	{ { profile = "draft-saintandre-xmpp-tls-03" }, { 'xmpp_tls_policy.profile is "draft-saintandre-xmpp-tls-03"; '
		.. PROFILES .. '; did you mean "draft-saintandre-xmpp-tls-02"?' } },
	{ { profile = "draft-saintandre-xmpp-tls-01" }, { 'xmpp_tls_policy.profile is "draft-saintandre-xmpp-tls-01", '
		.. 'which is superseded; use "draft-saintandre-xmpp-tls-02"' } },
	{ { profile = "rfc7525" }, { 'xmpp_tls_policy.profile is "rfc7525", which is superseded; use "rfc9325"' } },
	{ { profile = {} }, { "xmpp_tls_policy.profile is an empty table; " .. PROFILES } },
	{ { profil = "rfc9325" }, { 'xmpp_tls_policy.profil is no option; ' .. KNOWN .. '; did you mean "profile"?' } },
	{ { colour = "red" }, { "xmpp_tls_policy.colour is no option; " .. KNOWN } },
	{ { ["a key"] = 1 }, { 'xmpp_tls_policy["a key"] is no option; ' .. KNOWN } },
	{ { ["\n"] = 1 }, { 'xmpp_tls_policy["\\010"] is no option; ' .. KNOWN } },
	{ { [("k"):rep(100)] = 1 },
		{ 'xmpp_tls_policy["' .. ("k"):rep(60) .. '..." (100 bytes)] is no option; ' .. KNOWN } },
	{ { "must", "should" },
		{ 'xmpp_tls_policy[1] is "must", ' .. NAMELESS, 'xmpp_tls_policy[2] is "should", ' .. NAMELESS } },
	{ { [true] = 1 }, { "xmpp_tls_policy[true] is no option; " .. KNOWN } },
	{ { [hostile] = hostile }, { "xmpp_tls_policy[an empty table] is no option; " .. KNOWN } },
	{ { unauthenticated_s2s = "dialbcak" }, {
		'xmpp_tls_policy.unauthenticated_s2s is "dialbcak"; accepted: "dialback", "refuse"; did you mean "dialback"?' } },
	{ { certificate_change = "ignore", digest = "weekly", notify_admins = 1 }, {
		'xmpp_tls_policy.certificate_change is "ignore"; accepted: "warn", "refuse"',
		'xmpp_tls_policy.digest is "weekly"; accepted: true, false',
		"xmpp_tls_policy.notify_admins is 1; accepted: true, false",
	} },
	{ { dhe_per_second = 0 }, {
		"xmpp_tls_policy.dhe_per_second is 0; accepted: a whole number of handshakes, from 1 to 10000",
	} },
	{ { mode = "observe" }, { 'xmpp_tls_policy.mode is "observe"; accepted: "enforce", "report"' } },
	{ { resumption = true }, { "xmpp_tls_policy.resumption is true; accepted: a table such as { lifetime = 3600 }" } },
	{ { resumption = { enabled = "yes", lifetime = 0, memory = 1.5, size = 1 } }, {
		'xmpp_tls_policy.resumption.enabled is "yes"; accepted: true, false',
		"xmpp_tls_policy.resumption.lifetime is 0; accepted: a whole number of seconds, from 1 to 604800",
		"xmpp_tls_policy.resumption.memory is 1.5; accepted: a whole number of MiB, from 1 to 4096",
		'xmpp_tls_policy.resumption.size is no option; known: "address_share", "enabled", "lifetime", "memory", "shared"',
	} },
	{ { resumption = { shared = "redis://:secret@engine.test" } }, {
		"xmpp_tls_policy.resumption.shared is a string; accepted: a table such as "
			.. '{ url = "redis://localhost", key_file = "/etc/prosody/sessions.key" }',
	} },
	{ { resumption = { shared = { name = "a b", nmae = "x", url = "redis://:secret@engine.test:http" } } }, {
		'xmpp_tls_policy.resumption.shared.name is "a b"; accepted: up to 64 letters, digits and . _ : -',
		'xmpp_tls_policy.resumption.shared.nmae is no option; known: "ca_file", "key_file", "name", "url"; '
			.. 'did you mean "name"?',
		"xmpp_tls_policy.resumption.shared.url is malformed (malformed host or port); accepted: redis://host:6379/0, "
			.. "rediss://host (TLS), unix:/path, each with user:password@ before the host",
		'xmpp_tls_policy.resumption.shared.key_file is missing, as in { url = "redis://localhost", '
			.. 'key_file = "/etc/prosody/sessions.key" }',
	} },
	{ { resumption = { shared = { url = 5, key_file = "sessions.key", ca_file = "" } } }, {
		'xmpp_tls_policy.resumption.shared.ca_file is ""; accepted: an absolute path',
		'xmpp_tls_policy.resumption.shared.key_file is "sessions.key"; accepted: an absolute path',
		"xmpp_tls_policy.resumption.shared.url is malformed (no string); accepted: redis://host:6379/0, "
			.. "rediss://host (TLS), unix:/path, each with user:password@ before the host",
	} },
	-- rfc8446.4.6.1.lifetime-seven-days
	{ { resumption = { lifetime = 604801 } }, {
		"xmpp_tls_policy.resumption.lifetime is 604801; accepted: a whole number of seconds, from 1 to 604800",
	} },
	{ { resumption = { lifetime = 0 / 0, memory = 1 / 0 } }, {
		"xmpp_tls_policy.resumption.lifetime is not a number; accepted: a whole number of seconds, from 1 to 604800",
		"xmpp_tls_policy.resumption.memory is infinity; accepted: a whole number of MiB, from 1 to 4096",
	} },
	{ "must", { 'xmpp_tls_policy is "must"; accepted: a table such as { level = "should" }' } },
	{ false, { 'xmpp_tls_policy is false; accepted: a table such as { level = "should" }' } },
	{ 0, { 'xmpp_tls_policy is 0; accepted: a table such as { level = "should" }' } },
	{ print, { 'xmpp_tls_policy is a function; accepted: a table such as { level = "should" }' } },
	-- all at once, in the order of the keys
	{ { profile = 1, level = 2, levle = 3, [7] = 4, [{}] = 5, [false] = 6 }, {
		"xmpp_tls_policy[false] is no option; " .. KNOWN,
		"xmpp_tls_policy[7] is 4, " .. NAMELESS,
		"xmpp_tls_policy.level is 2; " .. LEVELS,
		'xmpp_tls_policy.levle is no option; ' .. KNOWN .. '; did you mean "level"?',
		"xmpp_tls_policy.profile is 1; " .. PROFILES,
		"xmpp_tls_policy[an empty table] is no option; " .. KNOWN,
	} },
}

describe("shared sessions", function ()
	local function shared_of(option)
		return options.repair { resumption = { shared = option } }.resumption
	end

	it("are off by default", function ()
		assert.is_nil(options.repair(nil).resumption.shared)
		assert.is_nil(options.repair({ resumption = {} }).resumption.shared)
	end)

	it("have a name, and sessions live an hour at most by default", function ()
		local given = { url = "redis://localhost", key_file = "/etc/prosody/sessions.key" }
		local resumption = shared_of(given)
		assert.same({ url = given.url, key_file = given.key_file, name = "xmpp-tls-policy" }, resumption.shared)
		assert.is_true(resumption.lifetime <= 3600)
		assert.is_nil(given.name)
	end)

	it("are off if anything about them is wrong, and the rest stays", function ()
		for _, wrong in ipairs {
			"redis://localhost", {}, { url = "redis://localhost" }, { key_file = "/etc/prosody/sessions.key" },
			{ url = "localhost", key_file = "/etc/prosody/sessions.key" },
			{ url = "redis://localhost", key_file = "/etc/prosody/sessions.key", colour = "red" },
		} do
			local resumption = shared_of(wrong)
			assert.is_nil(resumption.shared)
			assert.is_true(resumption.enabled)
		end
	end)

	it("show a password in no message", function ()
		local function shows_nothing(value)
			local _, errors = options.repair(value)
			assert.is_truthy(errors[1])
			for _, problem in ipairs(errors) do
				assert.not_matches("secret", problem.message .. problem.value .. problem.option)
			end
		end
		local urls = {
			"redis://:secret@e:x", "redis://:secret@e:0", "redis://:secret@e:65536", "redis://:secret@e/database",
			"redis://:secret@e/1234", "redis://:secret@", "redis://secret:@e", "redis://:secret%@e", "redis://:secret%zz@e",
			"redis://:sec/ret secret@e", "redis://:secret", "Redis://:secret@e", "http://:secret@e", "redis:secret@e",
			":secret@e", "user:secret@e", "unix:secret@e", "unix://:secret@", "unix://:secret@/run?database=x",
			" redis://secret",
			"redis://:secret@e#", "rediss://:secret@300.1.1.1", "redis://:secret\0@e:x", "redis://:secret\n@e:x",
		}
		for _, url in ipairs(urls) do
			for _, shared in ipairs { { url = url }, { ulr = url }, { key_file = url }, { ca_file = url }, { name = url },
				{ url }, { [url] = true }, url } do
				shows_nothing { resumption = { shared = shared } }
			end
			shows_nothing { resumption = { enabled = url, lifetime = url, memory = url, address_share = url } }
			shows_nothing { resumption = url }
			shows_nothing { resumption = { url } }
			shows_nothing { level = url, exceptions = url, url }
			shows_nothing(url)
		end
	end)
end)

describe("options that are wrong", function()
	for _, case in ipairs(cases) do
		it("get: " .. case[2][1]:sub(1, 70), function()
			assert.are.same(case[2], messages(case[1]))
		end)
	end

	it("are named, with their values", function()
		local _, errors = tls_policy.policy({ level = "x", ["a key"] = 1 })
		assert.are.same({ option = '["a key"]', value = "1" },
			{ option = errors[1].option, value = errors[1].value })
		assert.are.same({ option = "level", value = '"x"' },
			{ option = errors[2].option, value = errors[2].value })
		_, errors = tls_policy.policy("must")
		assert.are.same({ option = "xmpp_tls_policy", value = '"must"' },
			{ option = errors[1].option, value = errors[1].value })
	end)
end)

describe("memory of sessions", function()
	local machine = core.session_store.machine_memory

	after_each(function()
		core.session_store.machine_memory = machine
	end)

	local function errors_of(memory)
		local errors = select(2, tls_policy.policy({ resumption = { memory = memory } }))
		return errors and errors[1].message
	end

	it("is at most a quarter of the machine's", function()
		core.session_store.machine_memory = 2000
		assert.is_nil(errors_of(500))
		assert.are.equal("xmpp_tls_policy.resumption.memory is 501; accepted: at most 500 MiB, a quarter of this machine's "
			.. "memory", errors_of(501))
		assert.matches("accepted: at most 500 MiB", errors_of(1e300))
		core.session_store.machine_memory = 3
		assert.is_nil(errors_of(1))
		assert.matches("accepted: at most 1 MiB", errors_of(2))
	end)

	it("is at most 4096 MiB on any machine, known or not", function()
		for _, memory in ipairs({ 0, 1000000 }) do
			core.session_store.machine_memory = memory
			assert.is_nil(errors_of(4096))
			assert.matches("from 1 to 4096$", errors_of(4097))
		end
	end)

	it("of this machine is known", function()
		local kibibytes = tonumber(io.open("/proc/meminfo"):read("*a"):match("MemTotal:%s+(%d+)"))
		assert.is_true(math.abs(machine - kibibytes / 1024) <= 1)
	end)
end)

describe("options that are right", function()
	it("may be left out, one by one or all", function()
		assert.are.equal("draft-saintandre-xmpp-tls-02, level should", tls_policy.policy():name())
		assert.are.equal("draft-saintandre-xmpp-tls-02, level should", tls_policy.policy({}):name())
		assert.are.equal("draft-saintandre-xmpp-tls-02, level should", tls_policy.defaults():name())
	end)

	it("are taken, each with the other's default", function()
		assert.are.equal("draft-saintandre-xmpp-tls-02, level must", tls_policy.policy({ level = "must" }):name())
		assert.are.equal("rfc7590, level should", tls_policy.policy({ profile = "rfc7590" }):name())
		assert.are.equal("rfc9325, level must", tls_policy.policy({ profile = "rfc9325", level = "must" }):name())
	end)

	it("may be left out within a table, too", function()
		assert.are.same({ enabled = false, lifetime = 3600, memory = 4, address_share = 16 },
			tls_policy.policy({ resumption = { enabled = false } }).resumption)
		assert.are.same({ enabled = true, lifetime = 60, memory = 4, address_share = 16 },
			tls_policy.policy({ resumption = { lifetime = 60 } }).resumption)
	end)

	it("are not changed, nor called", function()
		local given = setmetatable({ level = "must" }, {
			__newindex = function() error("changed") end,
			__index = function() error("called") end,
			__pairs = function() error("called") end,
		})
		assert.are.same({
			certificate_change = "warn", channel_binding = true, dhe_per_second = 10, digest = false, exceptions = {},
			level = "must", mode = "enforce",
			notify_admins = false, profile = "draft-saintandre-xmpp-tls-02",
			resumption = { enabled = true, lifetime = 3600, memory = 4, address_share = 16 }, unauthenticated_s2s = "dialback",
		}, options.check(given))
		assert.are.equal("level", next(given))
		assert.is_nil(next(given, "level"))
	end)
end)

describe("a host's options", function()
	local global = { profile = "rfc9325", level = "must" }

	it("override the global ones, key by key", function()
		assert.are.same({ profile = "rfc9325", level = "should" }, tls_policy.merge(global, { level = "should" }))
	end)

	it("leave both tables as they were", function()
		local host = { level = "should" }
		local merged = tls_policy.merge(global, host)
		merged.profile = "x"
		assert.are.same({ profile = "rfc9325", level = "must" }, global)
		assert.are.same({ level = "should" }, host)
	end)

	it("may be missing on either side", function()
		assert.are.same(global, tls_policy.merge(global, nil))
		assert.are.same(global, tls_policy.merge(nil, global))
		assert.are.same({}, tls_policy.merge(nil, nil))
	end)

	it("are handed on to be complained of where they are no table", function()
		assert.are.equal("must", tls_policy.merge("must", { level = "must" }))
		assert.are.equal(7, tls_policy.merge(global, 7))
		assert.are.equal(false, tls_policy.merge(false, nil))
	end)

	it("cannot have options of the whole server", function()
		local own = { dhe_per_second = 1, level = "must", resumption = { lifetime = 60 } }
		local merged, errors = tls_policy.merge({ resumption = { lifetime = 600 } }, own)
		assert.are.same({ level = "must", resumption = { lifetime = 600 } }, merged)
		assert.are.equal(2, #errors)
		for index, name in ipairs({ "dhe_per_second", "resumption" }) do
			assert.are.equal(("xmpp_tls_policy.%s is for the whole server; it belongs above the hosts"):format(name),
				errors[index].message)
		end
		assert.are.same({}, select(2, tls_policy.merge(nil, { level = "must" })))
	end)
end)
