local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local lfs = require "lfs"
local pki = require "support.pki"
local process = require "support.process"
local server_contexts = require "support.server_contexts"
local socket = require "socket"
local ssl = require "ssl"
local tls_policy = require "xmpp_tls_policy"

describe("a server's contexts", function ()
	local files, contexts
	local policy, other_policy = tls_policy.policy(), tls_policy.policy { profile = "rfc9325" }

	setup(function ()
		files = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
	end)

	before_each(function ()
		contexts = adopted_contexts.new()
	end)

	after_each(function ()
		contexts:release()
	end)

	teardown(function ()
		pki.remove()
	end)

	local function luasec(more)
		return server_contexts.loose(files, more)
	end

	-- Fields that are false are left out.
	local function given(more)
		local demand = { policy = policy, host = "example.test", role = "c2s", operator = {} }
		for name, value in pairs(more or {}) do
			demand[name] = value or nil
		end
		return demand
	end

	local function settings_of(context)
		return assert(core.context.adopt(context)):settings()
	end

	it("are brought under the policy, once", function ()
		local context, demand = luasec(), given()
		local entry = contexts:enforce(context, demand)
		assert.is_true(entry.new)
		assert.is_nil(entry.failure)
		assert.equal("TLSv1.2", settings_of(context).minimum_version)
		assert.is_true(entry.certificate:matches("example.test", "xmpp-client"))
		assert.is_false(contexts:enforce(context, demand).new)
		assert.is_false(contexts:enforce(context, given()).new)
		assert.equal(entry, contexts:get(context))
	end)

	-- Two demands on one context: a demand of another host never touches it, and otherwise it is
	-- touched where anything differs.
	local parts = {
		policy = { policy, other_policy, tls_policy.policy { mode = "report" } },
		host = { "example.test", "other.test", false },
		role = { "c2s", "s2sin" },
		operator = { {}, { ciphers = true } },
	}

	local function each_demand(visit)
		for _, one_policy in ipairs(parts.policy) do
			for _, host in ipairs(parts.host) do
				for _, role in ipairs(parts.role) do
					for _, operator in ipairs(parts.operator) do
						visit { policy = one_policy, host = host, role = role, operator = operator }
					end
				end
			end
		end
	end

	it("of one host are never brought under a demand of another", function ()
		local count = 0
		each_demand(function (first)
			each_demand(function (second)
				local context = luasec()
				local before = contexts:enforce(context, given(first))
				local settings = settings_of(context)
				local after = contexts:enforce(context, given(second))
				local is_same_host = first.host == second.host
				local differs = first.policy ~= second.policy or first.role ~= second.role
					or first.operator ~= second.operator
				assert.equal(not is_same_host or differs, after.new)
				assert.equal(is_same_host and (differs and after or before) or before, contexts:get(context))
				if is_same_host then
					assert.is_nil(after.failure)
				else
					assert.equal("it is a context of " .. (first.host or "no host in particular"), after.failure)
					assert.same(settings, settings_of(context))
					assert.is_false(contexts:enforce(context, given(second)).new)
				end
				contexts:release()
				count = count + 1
			end)
		end)
		assert.equal(36 * 36, count)
	end)

	it("are found by host and role, and only while the server has them", function ()
		local kept, dropped = {}, {}
		for _, host in ipairs { "one.test", "other.test", false } do
			for _, role in ipairs { "c2s", "s2sin", "s2sout" } do
				kept[#kept + 1], dropped[#dropped + 1] = luasec(), luasec()
				contexts:enforce(kept[#kept], given { host = host, role = role })
				contexts:enforce(dropped[#dropped], given { host = host, role = role })
			end
		end
		local function numbers(host, role)
			local list = {}
			contexts:each_of(host, role, function (entry, context)
				assert.truthy(context:settings())
				assert.same({ host, role }, { entry.given.host, entry.given.role })
				list[#list + 1] = entry.number
			end)
			return list
		end
		assert.same({ 3, 4 }, numbers("one.test", "s2sin"))
		assert.equal(9, #dropped)
		for index in ipairs(dropped) do
			dropped[index] = nil
		end
		collectgarbage()
		collectgarbage()
		assert.same({ 3 }, numbers("one.test", "s2sin"))
		assert.same({ 17 }, numbers(nil, "s2sout"))
		assert.same({}, numbers("none.test", "c2s"))
		contexts:enforce(kept[2], given { host = "one.test", role = "c2s" })
		assert.same({ 1, 3 }, numbers("one.test", "c2s"))
		assert.same({}, numbers("one.test", "s2sin"))
		contexts:release "one.test"
		assert.same({}, numbers("one.test", "c2s"))
		assert.same({ 7 }, numbers("other.test", "c2s"))
	end)

	it("are visited by host and role without a look at those of other hosts", function ()
		local kept = {}
		for number = 1, 20 do
			kept[number] = luasec()
			contexts:enforce(kept[number], given { host = number .. ".test" })
		end
		local adopt, adopted = core.context.adopt, 0
		core.context.adopt = function (...)
			adopted = adopted + 1
			return adopt(...)
		end
		for number = 1, 20 do
			contexts:each_of(number .. ".test", "c2s", function () end)
		end
		core.context.adopt = adopt
		assert.equal(20, adopted)
	end)

	it("are enforced again where the demand changed, and only there", function ()
		local same, changed = luasec(), luasec()
		contexts:enforce(same, given())
		contexts:enforce(changed, given { role = "s2sin" })
		local told = {}
		contexts:enforce_again(function (before)
			return given { role = before.role, policy = before.role == "s2sin" and other_policy or policy }
		end, function (entry)
			told[#told + 1] = entry
		end)
		assert.same({ contexts:get(changed) }, told)
		assert.is_true(told[1].new)
		assert.equal(other_policy, told[1].policy)
		assert.is_false(contexts:get(same).new)
	end)

	it("are brought under another policy from their original settings, not from their present ones", function ()
		local context = luasec()
		contexts:enforce(context, given { policy = other_policy })
		assert.is_nil(table.concat(settings_of(context).ciphers, " "):match "TLS_DHE")
		assert.is_true(contexts:enforce(context, given()).new)
		assert.matches("TLS_DHE", table.concat(settings_of(context).ciphers, " "))
	end)

	it("follow the operator's own lists", function ()
		local context = luasec { ciphers = "ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA" }
		assert.is_true(#settings_of(context).ciphers == 2)
		contexts:enforce(context, given { operator = { ciphers = true } })
		assert.same({ "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" }, settings_of(context).ciphers)
		assert.is_true(contexts:enforce(context, given()).new)
		assert.equal(4, #settings_of(context).ciphers) -- the draft's, as the list counts as the server's default now
	end)

	it("without anything for a version lose that version, and the entry says so", function ()
		local context = luasec { ciphers = "AES128-SHA" }
		local entry = contexts:enforce(context, given { operator = { ciphers = true } })
		assert.is_nil(entry.failure)
		assert.equal("TLSv1.3", settings_of(context).minimum_version)
		assert.equal(1, #entry.losses)
		assert.matches("^without TLS 1.2: no cipher suite of TLS 1.2 or older is left", entry.losses[1])
		assert.same({}, contexts:enforce(luasec(), given()).losses)
	end)

	it("are disabled where nothing would be left, until they are given back", function ()
		local context = luasec { protocol = "tlsv1_1" }
		local entry = contexts:enforce(context, given())
		assert.matches("^no TLS version is left", entry.failure)
		assert.is_nil(settings_of(context).minimum_version)
		assert.same({}, contexts:release())
		assert.equal("TLSv1.1", settings_of(context).minimum_version)
	end)

	it("that are closed fail with the reason", function ()
		local context = luasec()
		getmetatable(context).__gc(context)
		assert.equal("the LuaSec context is closed", contexts:enforce(context, given()).failure)
	end)

	-- Lua finalises a userdata, and has it as a weak key for one more cycle of its collector.
	it("are forgotten when they are closed: they need no giving back", function ()
		local function closed()
			local context = luasec()
			assert.is_nil(contexts:enforce(context, given()).failure)
			getmetatable(context).__gc(context)
			return context
		end
		local context = closed()
		contexts:each(function (entry)
			error("there is one: " .. entry.number)
		end)
		assert.is_nil(contexts:get(context))
		closed()
		contexts:enforce_again(function ()
			return given { policy = other_policy }
		end, function ()
			error "there is one"
		end)
		closed()
		for _, entry in contexts:entries() do
			error("there is one: " .. entry.number)
		end
		closed()
		assert.same({}, contexts:release())
	end)

	-- Both ends of a TCP connection.
	local function connected()
		local listener = assert(socket.bind("127.0.0.1", 0))
		local near = assert(socket.connect("127.0.0.1", (select(2, listener:getsockname()))))
		local far = assert(listener:accept())
		listener:close()
		return near, far
	end

	-- Takes one step of a handshake with a LuaSec connection: what the client has for it. Returns what
	-- LuaSec does.
	local function step(client, near, served)
		near:settimeout(0)
		client:handshake()
		local bytes = client:take()
		-- What the other end has sent may come in pieces.
		while bytes == "" do
			socket.select({ near }, nil, process.PATIENCE)
			local _, _, came = near:receive(65536)
			assert(client:feed(came))
			client:handshake()
			bytes = client:take()
		end
		assert(near:send(bytes))
		socket.select({ served }, nil, process.PATIENCE)
		return served:dohandshake()
	end

	it("that a handshake has chosen by server name stay until it is finished", function ()
		-- The handshake may have begun before there was a policy.
		local base, replaced = luasec(), luasec()
		local names = { ["example.test"] = luasec() }
		local watched = setmetatable({ names["example.test"] }, { __mode = "v" })
		contexts:keep { [names["example.test"]] = true }
		local near, far = connected()
		local served = assert(ssl.wrap(far, base))
		served:settimeout(0)
		served:sni(names, true)
		local client = assert(core.connection.new(assert(core.context.new { role = "client", verify = "none" }),
			{ server_name = "example.test" }))
		assert.same({ false, "wantread" }, { step(client, near, served) })
		-- As Prosody does at a reload.
		names["example.test"] = replaced
		contexts:keep { [replaced] = true }
		collectgarbage()
		assert.truthy(watched[1])
		assert.is_true((step(client, near, served)))
		contexts:keep { [replaced] = true }
		collectgarbage()
		assert.is_nil(watched[1])
		served:close()
		near:close()
		contexts:keep {}
	end)

	it("that are still served are kept without a look at all connections", function ()
		local list, asked = { luasec(), luasec() }, 0
		local is_negotiating = core.observer.is_negotiating
		core.observer.is_negotiating = function (...)
			asked = asked + 1
			return is_negotiating(...)
		end
		for _ = 1, 2 do
			contexts:keep { [list[1]] = true, [list[2]] = true }
		end
		assert.equal(0, asked)
		contexts:keep { [list[1]] = true }
		assert.equal(1, asked)
		core.observer.is_negotiating = is_negotiating
		contexts:keep {}
	end)

	it("are given back host by host", function ()
		local one, other = luasec(), luasec()
		local before = settings_of(one)
		contexts:enforce(one, given { host = "one.test" })
		contexts:enforce(other, given { host = "other.test" })
		contexts:release "one.test"
		assert.same(before, settings_of(one))
		assert.is_nil(contexts:get(one))
		assert.equal("TLSv1.2", settings_of(other).minimum_version)
	end)

	it("are not kept alive", function ()
		local watch = setmetatable({ (luasec()) }, { __mode = "v" })
		contexts:enforce(watch[1], given())
		collectgarbage()
		collectgarbage()
		assert.is_nil(watch[1])
	end)

	describe("with a store", function ()
		local function meet(context, session)
			local client = assert(core.context.new { role = "client", verify = "none" })
			assert(client:apply { maximum_version = "TLSv1.2" })
			local one = assert(handshake.between(client, assert(core.context.adopt(context)), { session = session },
				{ role = "server" }))
			return one:facts().resumed, one:insecure_session()
		end

		it("share sessions where host, role, policy and certificate are the same, and only there", function ()
			assert(contexts:keep_sessions { enabled = true, address_share = 16, memory = 1, lifetime = 3600 })
			local context = luasec()
			contexts:enforce(context, given())
			local _, session = meet(context)
			local renewed = pki.authority():issue { names = { "example.test" }, key = "rsa2048", key_name = "renewed" }
			for expected, makes in pairs {
				[true] = { function () return luasec(), {} end },
				[false] = {
					function () return luasec(), { host = "other.test" } end,
					function () return luasec(), { role = "s2sin" } end,
					function () return luasec(), { policy = other_policy } end,
					function () return luasec { certificate = renewed.certificate, key = renewed.key }, {} end,
					function () return luasec { ciphers = "ECDHE+AESGCM" }, { operator = { ciphers = true } } end,
				},
			} do
				for index, make in ipairs(makes) do
					local another, more = make()
					assert.is_nil(contexts:enforce(another, given(more)).failure)
					assert.equal(expected, (meet(another, session)), tostring(index))
				end
			end
		end)

		-- Sessions that are shared resume in another process if this name is the same there.
		it("have a name for their sessions of host, role, policy and certificate, the same in each process", function ()
			assert(contexts:keep_sessions { enabled = true, address_share = 16, memory = 1, lifetime = 3600 })
			local code = ([[
				local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
				local tls_policy = require "xmpp_tls_policy"
				local contexts = adopted_contexts.new()
				assert(contexts:keep_sessions { enabled = true, address_share = 16, memory = 1, lifetime = 3600 })
				for _ = 1, 3 do -- others come first
					contexts:enforce(require "ssl".newcontext { mode = "server", protocol = "any", ciphers = "ALL:@SECLEVEL=0",
						options = { "no_sslv3" }, certificate = %q, key = %q }, {
						policy = tls_policy.policy { profile = "rfc9325" }, host = "other.test", role = "s2sin", operator = {} })
				end
				local entry = contexts:enforce(require "ssl".newcontext { mode = "server", protocol = "any", verify = "none",
					options = { "no_sslv3" }, ciphers = "ALL:@SECLEVEL=0", certificate = %q, key = %q }, {
					policy = tls_policy.policy(), host = "example.test", role = "c2s", operator = {} })
				io.write((entry.session_name:gsub(".", function (byte) return ("%%02x"):format(byte:byte()) end)))
			]]):format(files.certificate, files.key, files.certificate, files.key)
			local there = process.check {
				"env", "LUA_PATH=./lua/?.lua;./lua/?/init.lua;;", "LUA_CPATH=" .. package.cpath,
				lfs.symlinkattributes("/proc/self/exe").target, "-e", code,
			}
			local function name(more, changed)
				local entry = contexts:enforce(luasec(changed), given(more))
				return (entry.session_name:gsub(".", function (byte) return ("%02x"):format(byte:byte()) end))
			end
			assert.equal(there, name())
			local renewed = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
			for _, case in ipairs {
				{ { host = "other.test" } }, { { host = false } }, { { role = "s2sin" } }, { { policy = other_policy } },
				{ {}, { certificate = renewed.certificate, key = renewed.key } },
				{ { operator = { ciphers = true } }, { ciphers = "ECDHE+AESGCM" } },
			} do
				assert.not_equal(there, name(case[1], case[2]))
			end
		end)

		it("do not resume as a client", function ()
			assert(contexts:keep_sessions { enabled = true, address_share = 16, memory = 1, lifetime = 3600 })
			assert.is_nil(contexts:enforce(luasec { mode = "client" }, given { role = "s2sout" }).session_name)
		end)

		it("follow when it comes, changes and goes", function ()
			local context = luasec()
			contexts:enforce(context, given())
			assert.equal(0, settings_of(context).tickets)
			assert(contexts:keep_sessions { enabled = true, address_share = 16, memory = 1, lifetime = 3600 })
			local store = contexts:sessions()
			assert.is_true(contexts:enforce(context, given()).new)
			assert.equal(1, settings_of(context).tickets)
			assert(contexts:keep_sessions { enabled = true, address_share = 16, memory = 1, lifetime = 120 })
			assert.equal(store, contexts:sessions())
			assert.equal(120, store:stats().lifetime)
			assert(contexts:keep_sessions { enabled = true, address_share = 16, memory = 2, lifetime = 120 })
			assert.are_not.equal(store, contexts:sessions())
			assert(contexts:keep_sessions { enabled = false })
			assert.is_nil(contexts:sessions())
			contexts:enforce(context, given())
			assert.equal(0, settings_of(context).tickets)
		end)

		it("serve names anew only where these lead to other sessions", function ()
			assert(contexts:keep_sessions { enabled = true, address_share = 16, memory = 1, lifetime = 3600 })
			local base, named = luasec(), luasec()
			contexts:enforce(base, given { host = false })
			local served = { ["example.test"] = contexts:enforce(named, given()) }
			local adopt, adopted = core.context.adopt, 0
			core.context.adopt = function (...)
				adopted = adopted + 1
				return adopt(...)
			end
			for _, case in ipairs { { served, 1 }, { served, 1 }, { {}, 2 }, { served, 3 } } do
				assert.is_true(contexts:serve_names(base, case[1]))
				assert.equal(case[2], adopted)
			end
			core.context.adopt = adopt
		end)

		it("that serve names need not be adopted yet", function ()
			assert.is_true(contexts:serve_names(luasec(), {}))
		end)
	end)
end)
