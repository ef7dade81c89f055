-- The command `status`: policies, contexts, and settings that a policy overrides.
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local command_service = require "support.command_service"
local core = require "xmpp_tls_policy.core"
local date = require "xmpp_tls_policy.date"
local options = require "xmpp_tls_policy.policy.options"
local pki = require "support.pki"
local ssl = require "ssl"
local text_of = require "xmpp_tls_policy.text"
local tls_policy = require "xmpp_tls_policy"
local version = require "xmpp_tls_policy.version"

describe("the command status", function ()
	local certificate
	local ends = date.of(os.time() + 9 * date.DAY)
	local exceptions = {
		["old.test"] = { level = "must", expires = ends, reason = "being replaced" },
		["gone.test"] = { level = "must", expires = "2020-01-01", reason = "\27was" },
	}
	local usual = assert(tls_policy.policy { unauthenticated_s2s = "refuse", exceptions = exceptions })
	local report = assert(tls_policy.policy { mode = "report" })
	local rfc9325 = assert(tls_policy.policy { profile = "rfc9325" })

	setup(function ()
		certificate = pki.authority():issue { names = { "a.test" }, key = "rsa2048",
			not_after = os.time() + 30 * date.DAY + 3600 }
	end)

	teardown(pki.remove)

	-- A context under a policy, as adopted_contexts.lua has it: the entry, and the LuaSec context.
	local function adopted(policy, host, role, more)
		local luasec = assert(ssl.newcontext {
			mode = "server", protocol = more and more.protocol or "any", certificate = certificate.certificate,
			key = certificate.key, verify = "none", ciphers = "ALL:@SECLEVEL=0",
		})
		local context = assert(core.context.adopt(luasec))
		local before = assert(context:settings())
		local operator = { ciphers = true }
		local settings = policy.mode == "report" and before or assert(policy:settings_for(before, operator))
		if policy.mode ~= "report" then
			assert(context:apply(settings))
		end
		context:close()
		local entry = {
			given = { host = host, role = role, operator = operator }, policy = policy, settings = settings,
			before = policy.mode ~= "report" and before or nil, dropped = {},
		}
		for name, value in pairs(more or {}) do
			entry[name] = value
		end
		return { entry, luasec }
	end

	-- `current`: host -> what server.current_contexts returns; `stats`: of the session store; `sharing`: what
	-- the status of shared sessions is.
	local function service_of(by_host, list, set, current, stats, sharing)
		local hosts = {}
		for host in pairs(by_host) do
			hosts[#hosts + 1] = host ~= "*" and host or nil
		end
		hosts[#hosts + 1] = "free.test"
		return {
			server = command_service.server { options = set, hosts = hosts, current_contexts = current },
			policies = command_service.policies(by_host),
			outages = command_service.outages {},
			shared_sessions = {
				status = function ()
					return sharing
				end,
			},
			adopted = {
				sessions = function ()
					return stats and { stats = function () return stats end }
				end,
				each = function (_, visit)
					for _, found in ipairs(list or {}) do
						local context = assert(core.context.adopt(found[2]))
						visit(found[1], context, found[2])
						context:close()
					end
				end,
				get = function (_, luasec)
					for _, found in ipairs(list or {}) do
						if found[2] == luasec then
							return found[1]
						end
					end
				end,
			},
		}
	end

	it("shows the versions", function ()
		local text = command_service.run(service_of { ["*"] = usual }, "status")
		assert.matches("^Version " .. version:gsub("%p", "%%%0") .. " on a server, OpenSSL %d%.", text)
		assert.equal(version, command_service.json(service_of { ["*"] = usual }, "status").version)
	end)

	it("shows how sessions are shared, and no password", function ()
		local shared = assert(tls_policy.policy {
			resumption = { shared = { url = "redis://:secret@engine.test/1", key_file = "/etc/sessions.key" } },
		})
		local status = {
			engine = "redis://engine.test/1", name = "xmpp-tls-policy", state = "disconnected", reason = "Connection refused",
			keys = "0011223344556677", lag = 0.0042, queued = 3,
		}
		local service = service_of({ ["*"] = shared }, nil, nil, nil, nil, status)
		local text = command_service.run(service, "status")
		assert.matches("Sharing sessions through redis://engine.test/1 as xmpp-tls-policy: disconnected "
			.. "(Connection refused), key 0011223344556677, lag 0.004 s, 3 waiting\n", text, 1, true)
		local found = command_service.json(service, "status")
		assert.same(status, found.sharing)
		assert.not_matches("secret", text)
		assert.is_nil(found.options[1].resumption.shared)
		assert.equal(3600, found.options[1].resumption.lifetime)
		assert.is_nil(command_service.json(service_of { ["*"] = usual }, "status").sharing)
	end)

	it("names the policy of each host", function ()
		local service = service_of { ["*"] = usual, ["a.test"] = usual, ["b.test"] = report, ["c.test"] = rfc9325 }
		local name = "draft-saintandre-xmpp-tls-02, level should"
		assert.same({
			{ host = "*", policy = name, mode = "enforce", unauthenticated_s2s = "refuse" },
			{ host = "a.test", policy = name, mode = "enforce", unauthenticated_s2s = "refuse" },
			{ host = "b.test", policy = name, mode = "report", unauthenticated_s2s = "dialback" },
			{ host = "c.test", policy = "rfc9325, level should", mode = "enforce", unauthenticated_s2s = "dialback" },
		}, command_service.json(service, "status").policies)
		local text, done, message = command_service.run(service, "status")
		assert.same({ true, "0 contexts, 0 settings overridden, 2 warnings" }, { done, message })
		assert.matches("\nall other hosts  draft%-saintandre%-xmpp%-tls%-02, level should  enforce  refuse\n", text)
	end)

	it("shows the memory of sessions, and warns if it is not locked", function ()
		local stats = { sessions = 5, capacity = 33825, bytes = 4 * 2 ^ 20, lifetime = 3600, locked = true,
			lock_limit = 8 * 2 ^ 20 }
		local service = service_of({ ["*"] = usual }, nil, nil, nil, stats)
		local text = command_service.run(service, "status")
		assert.matches("\nSessions to resume: 5 of at most 33825, locked in memory\n", text)
		assert.not_matches("LimitMEMLOCK", text)
		stats.locked, stats.lock_limit = false, 2 * 2 ^ 20
		local found = command_service.json(service, "status")
		assert.is_false(found.sessions.locked)
		text = command_service.run(service, "status")
		assert.matches("33825, not locked in memory\n", text)
		assert.matches("\nWarning: server: The memory of resumable sessions %(4 MiB%) is not locked, because this "
			.. "process may lock 2 MiB in all: ", text)
		assert.is_nil(command_service.json(service_of { ["*"] = usual }, "status").sessions)
	end)

	it("warns of hosts that are shut, because the server offers no STARTTLS there", function ()
		local service = service_of { ["*"] = usual, ["a.test"] = usual, ["b.test"] = usual, ["c.test"] = usual }
		service.server = command_service.server {
			hosts = { "a.test", "b.test", "c.test" }, without_starttls = { ["a.test"] = "mod_tls is missing",
				["b.test"] = "mod_tls is missing" },
		}
		local found, message = command_service.json(service, "status"), nil
		for _, warning in ipairs(found.warnings) do
			message = warning.kind == "no-starttls" and warning or message
		end
		assert.same({ "a.test", "b.test" }, message.hosts)
		assert.matches("because mod_tls is missing$", message.message)
		assert.same({ "c.test" }, found.unused)
		local text, _, summary = command_service.run(service, "status")
		assert.matches("\nWarning: a.test, b.test: clients and servers cannot connect, except by direct TLS", text)
		assert.matches("3 warnings$", summary)
	end)

	it("reads the contexts back from OpenSSL", function ()
		local service = service_of({ ["*"] = usual, ["a.test"] = usual, ["b.test"] = report }, {
			adopted(report, "b.test", "s2sin"),
			adopted(usual, "a.test", "c2s", { session_name = "x" }),
			adopted(usual, "a.test", "c2s", { session_name = "x" }),
			adopted(usual, nil, "c2s", { service = "c2s_direct_tls" }),
		})
		local contexts = command_service.json(service, "status").contexts
		assert.equal(3, #contexts)
		assert.same({ { nil, "c2s_direct_tls" }, { "a.test", "STARTTLS" }, { "b.test", "STARTTLS" } }, {
			{ contexts[1].host, contexts[1].service }, { contexts[2].host, contexts[2].service },
			{ contexts[3].host, contexts[3].service },
		})
		assert.same({ "TLSv1.2", "TLSv1.3", 2048, true, 30, "enforce" }, {
			contexts[2].lowest, contexts[2].highest, contexts[2].dh_bits, contexts[2].resumption,
			contexts[2].certificate_days_left, contexts[2].mode,
		})
		assert.is_true(contexts[2].suites >= 4 and #contexts[2].groups >= 1)
		assert.same({ "report", false }, { contexts[3].mode, contexts[3].resumption })
		assert.is_true(contexts[3].suites > contexts[2].suites)
		local text, done, message = command_service.run(service, "status")
		assert.is_true(done)
		assert.matches("^3 contexts, ", message)
		assert.matches("\na.test +c2s +STARTTLS +5222 +draft%-saintandre%-xmpp%-tls%-02, level should", text)
		assert.matches("\nb.test +s2sin +STARTTLS +5269 +report mode: draft%-saintandre%-xmpp%-tls%-02, lev", text)
		assert.truthy(text:find(date.of(contexts[2].certificate_ends) .. " (30 days)", 1, true))
		assert.matches("\nNo STARTTLS context yet, the server makes it at the first connection: [^\n]+\n",
			(command_service.run(service_of({ ["*"] = usual, ["idle.test"] = usual }), "status")))
	end)

	it("tells what new handshakes get from what old streams hold, before the first stream on it, too", function ()
		local old, new = adopted(usual, "a.test", "c2s"), adopted(usual, "a.test", "c2s")
		local unused = assert(ssl.newcontext {
			mode = "server", protocol = "any", certificate = certificate.certificate, key = certificate.key,
			ciphers = "ALL:@SECLEVEL=0",
		})
		local function rows(list, current)
			local found = {}
			for index, row in ipairs(command_service.json(service_of({ ["*"] = usual, ["a.test"] = usual }, list, nil, current),
				"status").contexts) do
				found[index] = ("%s %s %s"):format(row.role, tostring(row.serves), row.lowest)
			end
			return found
		end
		assert.same({ "c2s new TLSv1.2", "c2s old TLSv1.2" },
			rows({ old, new }, { ["a.test"] = { { context = new[2], role = "c2s" } } }))
		assert.same({ "c2s new TLSv1.2", "c2s old TLSv1.2" }, rows({ old }, { ["a.test"] = {
			{ context = unused, role = "c2s" }, { context = unused, role = "s2sin" },
		} }))
		assert.same({ "c2s nil TLSv1.2" }, rows({ old }))
		local text = command_service.run(service_of({ ["*"] = usual, ["a.test"] = usual }, { old, new }, nil,
			{ ["a.test"] = { { context = new[2], role = "c2s" } } }), "status")
		assert.matches("\na.test +c2s +STARTTLS  .*\na.test +c2s +STARTTLS, old streams  ", text)
	end)

	it("names the suites, each list once", function ()
		local service = service_of({ ["*"] = usual, ["a.test"] = usual }, {
			adopted(usual, "a.test", "c2s"), adopted(usual, "b.test", "c2s"), adopted(report, "c.test", "s2sin"),
		})
		local row = command_service.json(service, "status").contexts[1]
		assert.equal("TLS_AES_256_GCM_SHA384", row.suite_names[1])
		assert.equal(row.suites, #row.suite_names)
		local text = command_service.run(service, "status", "width=80")
		assert.matches("\nSuites of a.test c2s, b.test c2s: TLS_AES_256_GCM_SHA384,", text)
		assert.matches("\nSuites of c.test s2sin: ", text)
		for line in text:gmatch "[^\n]+" do
			assert.is_true(text_of.columns(line) <= 80 or line:find "^Overridden" ~= nil or line:find "^Warning" ~= nil
				or line:find "^No STARTTLS" ~= nil, line)
		end
	end)

	it("names the suites of the versions in force alone", function ()
		local modern = tls_policy.policy { profile = "mozilla-modern-6.0" }
		local service = service_of({ ["*"] = usual, ["a.test"] = modern }, {
			adopted(modern, "a.test", "c2s"), adopted(usual, "b.test", "c2s", { protocol = "tlsv1_2" }),
			adopted(usual, "c.test", "c2s"),
		})
		local rows = command_service.json(service, "status").contexts
		local of_tls13 = { ["TLSv1.3"] = 0, ["TLSv1.2"] = 0, both = 0 }
		for index, key in ipairs { "TLSv1.3", "TLSv1.2", "both" } do
			for _, name in ipairs(rows[index].suite_names) do
				of_tls13[key] = of_tls13[key] + (name:find "_WITH_" and 0 or 1)
			end
			assert.equal(rows[index].suites, #rows[index].suite_names)
		end
		assert.same({ rows[1].suites, 0, true }, { of_tls13["TLSv1.3"], of_tls13["TLSv1.2"], of_tls13.both > 0 })
		assert.same({ "TLSv1.3", "TLSv1.2" }, { rows[1].lowest, rows[2].highest })
		assert.is_true(rows[1].suites > 0 and rows[2].suites > 0 and rows[3].suites == rows[2].suites + of_tls13.both)
	end)

	it("counts contexts beyond the twelfth that have the same suites", function ()
		local of, list = { ["*"] = usual }, {}
		for index = 1, 15 do
			local host = ("host%02d.test"):format(index)
			of[host], list[index] = usual, adopted(usual, host, "c2s")
		end
		local text = command_service.run(service_of(of, list), "status", "width=2000")
		assert.matches("\nSuites of host01.test c2s, [^:]*host12.test c2s and 3 more: TLS_", text)
	end)

	it("shows all options in force, and hosts that are not covered", function ()
		local service = service_of { ["*"] = usual, ["a.test"] = usual, ["b.test"] = report }
		local found = command_service.json(service, "status")
		local names = {}
		for name in pairs(found.options[1]) do
			names[name] = true
		end
		for _, name in ipairs(options.names) do
			assert.is_true(names[name] or name == "exceptions", name)
		end
		assert.same({ { "*", "a.test" }, "refuse" }, { found.options[1].hosts, found.options[1].unauthenticated_s2s })
		assert.same({ { "b.test" }, "report" }, { found.options[2].hosts, found.options[2].mode })
		assert.same({ "free.test" }, found.uncovered)
		local text = command_service.run(service, "status")
		assert.matches("\nResumption: on, lifetime 3600 s, memory %d+ MiB, address share %d+\n", text)
		assert.matches("\nNot covered, so TLS is the server's own: free.test\n", text)
		assert.matches("\nHandshakes with DHE: 10 a second at most\n", text)
		assert.matches("\nall other hosts, a.test +warn +no +yes +no *\n", text)
		local own = assert(tls_policy.policy { certificate_change = "refuse", notify_admins = true, channel_binding = false,
			digest = true })
		text = command_service.run(service_of { ["*"] = own }, "status")
		assert.matches("\nall other hosts +refuse +yes +no +yes *\n", text)
	end)

	it("shows one host alone", function ()
		local service = service_of({ ["*"] = usual, ["a.test"] = usual, ["b.test"] = report }, {
			adopted(usual, "a.test", "c2s"), adopted(report, "b.test", "c2s"),
		})
		local found = command_service.json(service, "status", "b.test")
		for _, field in ipairs { "policies", "options", "contexts" } do
			assert.equal(1, #found[field], field)
		end
		assert.same({ "b.test", {}, {}, {} },
			{ found.policies[1].host, found.uncovered, found.exceptions, found.warnings })
		assert.same({ "free.test" }, command_service.json(service, "status", "free.test").uncovered)
		assert.same({ "", nil, '"nowhere.test" is no host of this server' },
			{ command_service.run(service, "status", "nowhere.test") })
		assert.same({ "", nil, '"fre.test" is no host of this server; did you mean "free.test"?' },
			{ command_service.run(service, "status", "fre.test") })
	end)

	it("shows which hosts have no context for STARTTLS", function ()
		local service = service_of({ ["*"] = usual, ["a.test"] = usual, ["b.test"] = usual, ["c.test"] = usual }, {
			adopted(usual, "a.test", "c2s"), adopted(usual, "b.test", "c2s", { service = "c2s_direct_tls" }),
		})
		assert.same({ "b.test", "c.test" }, command_service.json(service, "status").unused)
	end)

	it("does not say of a host whose context the server could not make that it makes one later", function ()
		local plain = tls_policy.policy()
		local of = { ["*"] = plain }
		for _, host in ipairs { "bad.test", "repaired.test", "idle.test", "unknown.test" } do
			of[host] = plain
		end
		local service = service_of(of, {}, nil, {
			["bad.test"] = {}, ["repaired.test"] = { { context = {}, role = "s2sout" } },
			["idle.test"] = { { context = {}, role = "c2s" } },
		})
		service.server.own_context = function (host)
			if host == "bad.test" then
				return nil, "private key does not match public key"
			end
			return {}
		end
		local found, said = command_service.json(service, "status"), {}
		assert.same({ "idle.test", "unknown.test" }, found.unused)
		for _, warning in ipairs(found.warnings) do
			said[warning.hosts[1]] = warning.kind == "no-context" and warning.message or nil
		end
		assert.same({
			["bad.test"] = "no STARTTLS: the server could not make its TLS context (private key does not match public key): "
				.. "repair its certificate, key or ssl options, and reload the configuration",
			["repaired.test"] = "no STARTTLS: the server could not make its TLS context when it loaded the configuration; now "
				.. "it can: reload the configuration",
		}, said)
	end)

	it("shows contexts that could not be brought under the policy", function ()
		local service = service_of({ ["*"] = usual, ["a.test"] = usual }, {
			adopted(usual, "a.test", "c2s", { failure = "no TLS version is left" }),
		})
		local row = command_service.json(service, "status").contexts[1]
		assert.same({ "no TLS version is left", nil, nil }, { row.failure, row.lowest, row.suites })
		assert.matches("\nNo TLS: a.test, c2s %(STARTTLS%): no TLS version is left\n",
			(command_service.run(service, "status")))
	end)

	it("shows overridden settings once, with all hosts and roles", function ()
		local set = { s2s_secure_auth = false, allow_unencrypted_plain_auth = true }
		local service = service_of({ ["*"] = usual, ["a.test"] = usual, ["b.test"] = report }, {
			adopted(usual, "a.test", "s2sin"), adopted(usual, "a.test", "c2s"), adopted(usual, "c.test", "c2s"),
		}, { ["*"] = set, ["a.test"] = set, ["b.test"] = set })
		local found = {}
		for _, item in ipairs(command_service.json(service, "status").overridden) do
			found[item.message] = { item.hosts, item.roles }
		end
		assert.same({ { "*", "a.test" } },
			found["allow_unencrypted_plain_auth has no effect: the policy requires TLS before authentication"])
		assert.same({ { "a.test", "c.test" }, { "c2s", "s2sin" } },
			found["ssl has OpenSSL's security level 0; 2 is in force"])
		assert.matches("\nOverridden: a.test, c.test %(c2s, s2sin%): ssl has OpenSSL's security level 0; 2 is in force\n",
			(command_service.run(service, "status")))
		assert.matches("\nOverridden: all other hosts, a.test: allow_unencrypted_plain_auth has no effect",
			(command_service.run(service, "status")))
	end)

	it("shows exceptions with their ends, and warnings", function ()
		local service = service_of { ["*"] = usual, ["a.test"] = usual, ["b.test"] = report }
		local found = command_service.json(service, "status")
		assert.same({ "gone.test", "old.test" }, { found.exceptions[1].domain, found.exceptions[2].domain })
		assert.same({ "must", ends, false, "being replaced", { "*", "a.test" } }, {
			found.exceptions[2].level, found.exceptions[2].expires, found.exceptions[2].ended, found.exceptions[2].reason,
			found.exceptions[2].hosts,
		})
		assert.same({ true, 0 }, { found.exceptions[1].ended, found.exceptions[1].days_left })
		assert.same({ "ended", "ending" }, { found.warnings[1].kind, found.warnings[2].kind })
		local text = command_service.run(service, "status", "width=200")
		assert.matches("\ngone.test +level = \"must\" +2020%-01%-01 +ended +\\027was +all other hosts, a.test\n", text)
		assert.matches("\nWarning: all other hosts, a.test: the exception for gone.test ", text)
		assert.is_nil(text:find("\27", 1, true))
	end)

	it("shows each thing that an exception grants", function ()
		local excepting = assert(tls_policy.policy { unauthenticated_s2s = "refuse", exceptions = { ["old.test"] = {
			level = "must", unauthenticated_s2s = "dialback", groups = "classical", expires = "2999-01-01", reason = "old" } } })
		local service = service_of { ["*"] = excepting }
		local row = command_service.json(service, "status").exceptions[1]
		assert.same({ "must", "dialback", "classical" }, { row.level, row.unauthenticated_s2s, row.groups })
		assert.matches('\nold.test +level = "must", unauthenticated_s2s = "dialback", groups = "classical" +2999%-01%-01 ',
			(command_service.run(service, "status", "width=200")))
	end)

	it("shows what exceptions open, not in report mode", function ()
		local found = adopted(report, "a.test", "s2sin")
		local excepting = assert(tls_policy.policy { mode = "report", exceptions = exceptions })
		local service = service_of { ["*"] = usual, ["a.test"] = usual, ["b.test"] = usual, ["c.test"] = excepting }
		service.server.own_context = function (_, role) return role == "s2sin" and found[2] or nil end
		setmetatable(service.adopted, { __index = adopted_contexts.new() })
		local list = command_service.json(service, "status").opened
		assert.equal(1, #list)
		assert.same({ "old.test", { "a.test", "b.test" }, { "TLSv1", "TLSv1.1" } },
			{ list[1].domain, list[1].hosts, list[1].versions })
		assert.matches("\nThe exception for old.test opens on a.test, b.test %(s2sin%): TLS 1.0, TLS 1.1; suites TLS_",
			(command_service.run(service, "status", "width=1000")))
	end)

	it("warns where the server's own options accept no dialback", function ()
		local dialback = assert(tls_policy.policy { unauthenticated_s2s = "refuse", exceptions = {
			["old.test"] = { unauthenticated_s2s = "dialback", expires = "2999-01-01", reason = "old" } } })
		local of_server = { ["a.test"] = { s2s_secure_auth = true } }
		local service = service_of({ ["*"] = dialback, ["a.test"] = dialback }, nil, of_server)
		local list = command_service.json(service, "status").warnings
		assert.same({ 1, "obstructed", { "a.test" } }, { #list, list[1].kind, list[1].hosts })
	end)

	it("warns of outages that report mode foresees", function ()
		local service = service_of { ["*"] = report, ["a.test"] = report, ["b.test"] = report, ["c.test"] = report }
		service.outages = command_service.outages { ["b.test"] = { "no TLS" }, ["c.test"] = { "no TLS" } }
		local found = command_service.json(service, "status").warnings
		assert.same({ kind = "outage", message = "no TLS", hosts = { "b.test", "c.test" } }, found[1])
		local text = command_service.run(service, "status", "width=200")
		assert.matches("\nWarning: b.test, c.test: no TLS\n?", text)
	end)

	it("lets the server go on between contexts", function ()
		local list = {}
		for index = 1, 20 do
			list[index] = adopted(report, ("%d.test"):format(index), "c2s")
		end
		local service = service_of({ ["*"] = report }, list)
		command_service.json(service, "status")
		assert.is_true(service.server.turn_count >= 40)
	end)
end)
