local adapter = require "support.adapter"
local date = require "xmpp_tls_policy.date"
local pki = require "support.pki"
local server_contexts = require "support.server_contexts"

local lowest = server_contexts.lowest_version

describe("the server's TLS contexts", function ()
	local oldest -- the lowest version of a context that is under no policy
	local files, server, found, adopted, contexts, listeners

	setup(function ()
		files = pki.authority():issue { names = { "a.test" }, key = "p256" }
	end)

	teardown(pki.remove)

	local function luasec(more)
		return server_contexts.loose(files, more)
	end

	local function expires(days)
		return date.of(os.time() + days * 86400)
	end

	before_each(function ()
		listeners = {}
		server = adapter.new {
			direct_tls_contexts = function () return listeners end,
			starttls_context = function (session) return session.context end,
			set_starttls_context = function (session, context) session.context = context end,
			is_authenticated = function (session) return session.authenticated or false end,
			context_like = function (_, name) return luasec(), name end,
		}
		server.options = {
			["*"] = { exceptions = { ["old.test"] = { level = "must", expires = expires(90), reason = "old" } } },
			["report.test"] = { mode = "report" },
		}
		found, adopted, contexts = server_contexts.under_policies(server, { "a.test", "b.test", "report.test" })
		server.run_timers()
		server.lines = {}
		oldest = lowest(luasec())
		assert.are_not.equal("TLSv1.2", oldest)
	end)

	after_each(function ()
		adopted:release()
	end)

	-- A stream to a host of ours; `peer`: nil for a client.
	local function stream(role, host, peer, context)
		return {
			session = { context = context }, role = role,
			host = function () return host end,
			peer = function () return peer end,
		}
	end

	describe("for STARTTLS", function ()
		it("are brought under the policy, and said to be so once", function ()
			local context = luasec { ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256" }
			server.operator_lists = function () return { ciphers = true } end
			assert.is_true(contexts:starttls(stream("c2s", "a.test", nil, context)))
			assert.equal("TLSv1.2", lowest(context))
			server.run_timers()
			assert.matches("^info a.test, c2s: by the server's own configuration: draft%-saint", server.take_lines()[1])
			assert.is_true(contexts:starttls(stream("c2s", "a.test", nil, context)))
			assert.same({}, server.take_lines())
		end)

		it("may be wrapped by the server", function ()
			local context = luasec()
			assert.is_true(contexts:starttls(stream("c2s", "a.test", nil, { _inner = context })))
			assert.equal("TLSv1.2", lowest(context))
		end)

		it("need not be there, and are of no use to an authenticated stream", function ()
			assert.is_nil(contexts:starttls(stream("c2s", "a.test")))
			assert.is_nil(contexts:starttls(stream(nil, "a.test", nil, luasec())))
			local authenticated = stream("s2sin", "a.test", "far.test", luasec())
			authenticated.session.authenticated = true
			assert.is_nil(contexts:starttls(authenticated))
		end)

		it("that cannot be brought under the policy have no TLS", function ()
			local context = luasec { protocol = "tlsv1_1" }
			assert.is_false(contexts:starttls(stream("c2s", "a.test", nil, context)))
			server.run_timers()
			assert.matches("^error a.test, c2s: no TLS, because its context cannot be brought under draft%-saint[^:]*: "
				.. "no TLS version", server.take_lines()[1])
			assert.is_true(contexts:starttls(stream("c2s", "report.test", nil, luasec { protocol = "tlsv1_1" })))
		end)

		-- Hosts of each kind ask for the context of a host of each kind.
		it("of one host are never changed for another host", function ()
			local hosts = { "a.test", "b.test", "report.test", "uncovered.test" }
			for _, owner in ipairs(hosts) do
				for _, other in ipairs(hosts) do
					for _, role in ipairs { "c2s", "s2sin", "s2sout" } do
						local context = luasec()
						local peer = role ~= "c2s" and "far.test" or nil
						assert.is_true(contexts:starttls(stream(role, owner, peer, context)))
						local before, entry = lowest(context), adopted:get(context)
						assert.equal(owner ~= "report.test" and "TLSv1.2" or oldest, before)
						assert.equal(owner == other or other == "report.test",
							contexts:starttls(stream(role, other, peer, context)))
						assert.equal(before, lowest(context))
						assert.equal(entry, adopted:get(context))
					end
				end
			end
			server.run_timers()
			assert.matches("error [^\n]*b.test, c2s[^\n]*: no TLS, because its context cannot be brought under [^:]*: "
				.. "it is a context of a.test", table.concat(server.take_lines(), "\n"))
		end)

		it("are another for each peer that has an exception, and only for that", function ()
			for host, is_apart in pairs { ["a.test"] = true, ["report.test"] = false } do
				local shared = luasec()
				local old, new = stream("s2sin", host, "old.test", shared), stream("s2sin", host, "new.test", shared)
				assert.is_true(contexts:starttls(old))
				assert.is_true(contexts:starttls(new))
				assert.equal(is_apart, old.session.context ~= shared)
				assert.equal(shared, new.session.context)
				assert.is_nil(adopted:get(shared).policy.exception)
				local apart = old.session.context
				assert.equal(is_apart, adopted:get(apart).policy.exception ~= nil)
				assert.is_true(contexts:starttls(old))
				assert.equal(apart, old.session.context)
			end
		end)

		it("stay strict where there is none for the exception", function ()
			server.context_like = function () return nil, "no such file" end
			local one = stream("s2sin", "a.test", "old.test", luasec())
			assert.is_true(contexts:starttls(one))
			assert.is_nil(adopted:get(one.session.context).policy.exception)
			assert.matches("^error a.test: the exception for old.test has no effect, because there is no context for it: "
				.. "no such", server.take_lines()[1])
		end)

		it("stay strict where the server has only the one of all others for the exception", function ()
			for _, wrapped in ipairs { false, true } do
				local shared = luasec()
				server.context_like = function () return wrapped and { _inner = shared } or shared end
				local one = stream("s2sin", "a.test", "old.test", wrapped and { _inner = shared } or shared)
				assert.is_true(contexts:starttls(one))
				assert.equal("TLSv1.2", lowest(shared))
				assert.is_nil(adopted:get(shared).policy.exception)
				assert.matches("^error a.test: the exception for old.test has no effect, because there is no context for it: "
					.. "the server gave the context of all others again", server.take_lines()[1])
			end
		end)

		-- Options of a.test before and after a reload.
		local network = { level = "must", expires = expires(90), reason = "old" }
		for what, after in pairs {
			["the same network"] = { ["192.0.2.0/24"] = network },
			["a part of it"] = { ["192.0.2.9/32"] = network },
			["a larger one"] = { ["192.0.0.0/16"] = network },
			["none"] = {},
		} do
			it("of clients that an exception named follow it, not the network of one of them: " .. what, function ()
				server.options["a.test"] = { exceptions = { ["192.0.2.0/24"] = network } }
				found:load()
				local client = stream("c2s", "a.test", nil, luasec())
				client.session.address = "192.0.2.9"
				assert.is_true(contexts:starttls(client))
				assert.equal(oldest, lowest(client.session.context))
				server.options["a.test"] = { exceptions = after }
				found:load()
				contexts:configuration_loaded()
				contexts:search()
				assert.equal(after["192.0.2.0/24"] and oldest or "TLSv1.2", lowest(client.session.context))
			end)
		end

		it("are asked for without a look at the configuration for each stream", function ()
			local asked = 0
			server.operator_lists = function ()
				asked = asked + 1
				return {}
			end
			local context = luasec()
			for _ = 1, 10 do
				contexts:starttls(stream("c2s", "a.test", nil, context))
			end
			assert.equal(1, asked)
			contexts:search()
			contexts:starttls(stream("c2s", "a.test", nil, context))
			assert.equal(1, asked)
			contexts:configuration_loaded()
			contexts:search()
			contexts:starttls(stream("c2s", "a.test", nil, context))
			assert.equal(2, asked)
		end)
	end)

	describe("for direct TLS", function ()
		local base, names

		before_each(function ()
			base, names = luasec(), { ["a.test"] = luasec(), ["report.test"] = luasec() }
			listeners = { { context = base, role = "c2s", service = "c2s_direct_tls", option = "c2s_direct_tls_ssl",
				names = names } }
		end)

		it("are brought under the policy of their hosts at once, and once more after the event", function ()
			local tolerated
			server.tolerate_any_name = function (has_certificate)
				tolerated = has_certificate
			end
			contexts:search()
			assert.same({ "TLSv1.2", "TLSv1.2" }, { lowest(base), lowest(names["a.test"]) })
			assert.equal(oldest, lowest(names["report.test"]))
			assert.truthy(tolerated(base))
			assert.falsy(tolerated(names["report.test"]))
			assert.equal("c2s_direct_tls", adopted:get(base).service)
			contexts:search()
			assert.equal(1, #server.timers)
			names["b.test"] = luasec()
			server.run_timers()
			assert.equal("TLSv1.2", lowest(names["b.test"]))
		end)

		it("are searched for a host without those that are known", function ()
			contexts:search()
			server.run_timers()
			local enforced = 0
			local enforce = adopted.enforce
			adopted.enforce = function (...)
				enforced = enforced + 1
				return enforce(...)
			end
			names["b.test"], names["alias.test"] = luasec(), luasec()
			contexts:search "b.test"
			assert.equal(2, enforced)
			assert.same({ "TLSv1.2", "TLSv1.2" }, { lowest(names["b.test"]), lowest(names["alias.test"]) })
		end)

		it("of further hosts that the server makes in the same event are searched by their name", function ()
			contexts:search()
			server.run_timers()
			contexts:search "a.test"
			for _, name in ipairs { "b.test", "alias.test" } do
				names[name] = luasec()
			end
			setmetatable(names, { __index = function () error "asked for a name that is not there" end })
			contexts:search "b.test"
			contexts:search "c.test"
			assert.same({ "TLSv1.2", oldest }, { lowest(names["b.test"]), lowest(names["alias.test"]) })
			assert.equal("c2s_direct_tls", adopted:get(names["b.test"]).service)
			server.run_timers()
			assert.equal("TLSv1.2", lowest(names["alias.test"]))
		end)

		it("give sessions to the host whose name was asked for, from the first moment", function ()
			assert(adopted:keep_sessions { enabled = true, address_share = 16, memory = 1, lifetime = 3600 })
			contexts:search()
			server.run_timers()
			names["b.test"] = luasec()
			contexts:search "b.test"
			assert.equal(adopted:get(names["b.test"]).session_name, adopted:get(base).names["b.test"])
			assert.equal(adopted:get(names["a.test"]).session_name, adopted:get(base).names["a.test"])
		end)

		-- rfc6066.3.name-in-a-labels
		it("give sessions to an internationalised host under its A-labels, too", function ()
			assert(adopted:keep_sessions { enabled = true, address_share = 16, memory = 1, lifetime = 3600 })
			names["b\195\188cher.test"] = luasec()
			contexts:search()
			local session_name = adopted:get(names["b\195\188cher.test"]).session_name
			for _, name in ipairs { "b\195\188cher.test", "xn--bcher-kva.test" } do
				assert.equal(session_name, adopted:get(base).names[name])
			end
		end)

		it("follow a policy that changes, and stay untouched where it does not", function ()
			contexts:search()
			server.run_timers()
			local entries = { adopted:get(base), adopted:get(names["a.test"]), adopted:get(names["report.test"]) }
			server.lines = {}
			found:load()
			contexts:search()
			assert.same(entries, { adopted:get(base), adopted:get(names["a.test"]), adopted:get(names["report.test"]) })
			server.options["report.test"] = { profile = "rfc9325" }
			found:load()
			contexts:search()
			assert.equal("TLSv1.2", lowest(names["report.test"]))
			assert.equal("c2s_direct_tls", adopted:get(names["report.test"]).service)
			assert.equal(entries[2], adopted:get(names["a.test"]))
			assert.same({ "info report.test: rfc9325, level should" }, server.take_lines())
		end)

		it("that a new policy cannot be put on are said to have no TLS", function ()
			names["report.test"] = luasec { protocol = "tlsv1_1" }
			contexts:search()
			server.run_timers()
			assert.matches("error report.test, c2s %(c2s_direct_tls%): if .* were enforced, nobody could connect",
				table.concat(server.take_lines(), "\n"))
			server.options["report.test"] = {}
			found:load()
			contexts:search()
			server.run_timers()
			local lines = server.take_lines()
			assert.equal(2, #lines)
			assert.matches("^error report.test, c2s %(c2s_direct_tls%): no TLS, because", lines[2])
		end)

		it("are kept while they are served by name", function ()
			contexts:search()
			local watched = setmetatable({ names["a.test"] }, { __mode = "v" })
			names["a.test"] = nil
			collectgarbage()
			assert.truthy(watched[1])
			contexts:keep_named()
			collectgarbage()
			assert.is_nil(watched[1])
		end)

		it("have their original settings once they are given back", function ()
			contexts:search()
			contexts:give_back "a.test"
			assert.equal(oldest, lowest(names["a.test"]))
			assert.equal("TLSv1.2", lowest(base))
			contexts:give_back()
			assert.equal(oldest, lowest(base))
		end)
	end)
end)
