-- The command `check` over a forecast of a server of plain tables. spec/server/check_spec.lua compares it with servers.
local check = require "xmpp_tls_policy.commands.check"
local command_service = require "support.command_service"
local exceptions_file = require "xmpp_tls_policy.policy.exceptions_file"
local files = require "support.files"
local forecast = require "xmpp_tls_policy.forecast"
local json = require "dkjson"
local key_file = require "xmpp_tls_policy.sessions.key_file"
local pki = require "support.pki"
local process = require "support.process"
local ssl = require "ssl"

local DAY = 86400

local function ignore() end

describe("the command check", function ()
	local authority, certificate, options, made

	setup(function ()
		authority = pki.authority()
		certificate = authority:issue {
			names = { "a.test", "b.test" }, key = "rsa2048", not_after = os.time() + 90 * DAY + 3600,
		}
	end)

	teardown(pki.remove)

	before_each(function ()
		options = { ["*"] = {} }
		-- `ssl`: host -> LuaSec's parameters, over those that all have; false: none can be made.
		made = { hosts = { "a.test", "b.test" }, disabled = {}, modules = {}, ssl = {} }
	end)

	local function context(host)
		local own = made.ssl[host]
		if own == false then
			return nil, "error loading private key (Permission denied)"
		end
		local parameters = {
			mode = "server", protocol = "any", certificate = certificate.certificate, key = certificate.key, verify = "none",
			ciphers = "ECDHE+AESGCM:DHE+AESGCM", cafile = authority.certificate,
		}
		for name, value in pairs(own or {}) do
			parameters[name] = value or nil
		end
		return assert(ssl.newcontext(parameters))
	end

	local function server()
		local found = command_service.server { hosts = made.hosts, own_context = context, options = {},
			without_starttls = made.without_starttls }
		found.log, found.later, found.tolerate_any_name = ignore, ignore, ignore
		function found.policy_option(host)
			return options[host] or options["*"]
		end
		function found.option_names(host)
			return made.names and made.names[host] or {}
		end
		function found.wants_module(host)
			return made.modules[host] ~= false and not made.disabled[host]
		end
		function found.disables_module(host)
			return made.disabled[host] == true
		end
		function found.certificate_source() end
		function found.operator_lists()
			return { ciphers = true }
		end
		local current = {}
		function found.current_contexts(host)
			local list = current[host] or {}
			if current[host] then
				return list
			end
			current[host] = list
			for _, role in ipairs(made.ssl[host] ~= false and not found.lacks_starttls(host) and { "c2s", "s2sin" } or {}) do
				list[#list + 1] = { role = role, context = context(host) }
			end
			if made.ssl[host] ~= false then
				list[#list + 1] = { role = "s2sout", context = context(host) }
			end
			return list
		end
		return found
	end

	local function run(given)
		local writer = command_service.writer(200)
		local errors, is_own_user = given and given.errors or {}, not (given and given.other_user)
		local service = forecast.new(server(), { errors = errors, is_own_user = is_own_user })
		local exit = check.run(service, writer, { json = true, host = given and given.host })
		return json.decode(writer.text), exit, service
	end

	local function kinds(found)
		local list = {}
		for _, problem in ipairs(found.problems) do
			list[#list + 1] = ("%s %s %s"):format(problem.severity, problem.kind, table.concat(problem.hosts, "+"))
		end
		table.sort(list)
		return list
	end

	it("is fine where nothing is wrong", function ()
		local found, exit = run()
		assert.same({ {}, {}, 0, 0, 1 }, { found.problems, found.unchecked, exit, found.result, found.schema })
		assert.equal(6, #found.contexts)
	end)

	-- What is wrong, the problems, and the exit status.
	local cases = {
		{ "a wrong option", function () options["b.test"] = { level = "mst" } end, { "error option b.test" }, 1 },
		{ "a wrong option for all", function () options["*"] = { profil = 1 } end, { "error option *" }, 1 },
		{ "a misspelt option", function () made.names = { ["*"] = { "xmpp_tls_polcy" } }; made.modules["*"] = false end,
			{ "warn misspelt-option *" }, 1 },
		{ "an empty table of options", function () made.names, options["*"] = { ["*"] = { "xmpp_tls_policy" } }, {} end,
			{ "warn empty-option *" }, 1 },
		{ "a host that is not covered", function () made.modules["b.test"] = false end, { "warn not-covered b.test" }, 1 },
		{ "a host that is meant not to be covered", function () made.disabled["b.test"] = true end, {}, 0 },
		{ "no host that is covered", function () made.disabled = { ["a.test"] = true, ["b.test"] = true } end,
			{ "error not-enabled *" }, 1 },
		{ "no certificate", function () made.ssl["b.test"] = { certificate = false, key = false } end,
			{ "error no-certificate b.test", "error no-certificate b.test" }, 1 },
		{ "no certificate for localhost", function ()
			made.hosts[1], made.ssl.localhost = "localhost", { certificate = false, key = false }
		end, { "info no-certificate localhost", "info no-certificate localhost" }, 0 },
		{ "nothing left of a list", function () made.ssl["b.test"] = { ciphers = "AES128-SHA", protocol = "tlsv1_2" } end,
			{ "error no-tls b.test" }, 1 },
		{ "a version lost", function () made.ssl["b.test"] = { ciphers = "AES128-SHA" } end,
			{ "info unsupported b.test", "info unsupported b.test", "warn lost-version b.test" }, 1 },
		{ "a key that fits no suite of a version", function ()
			made.ssl["b.test"] = { ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256" }
		end, {
			"info unsupported b.test", "warn key b.test",
		}, 1 },
		{ "an outage in report mode", function ()
			made.ssl["b.test"], options["b.test"] = { ciphers = "AES128-SHA", protocol = "tlsv1_2" }, { mode = "report" }
		end, { "error outage b.test", "error outage b.test" }, 1 },
		{ "no context", function () made.ssl["b.test"] = false end, { "error no-context b.test" }, 1 },
	}

	for _, case in ipairs(cases) do
		it("finds " .. case[1], function ()
			case[2]()
			local found, exit = run()
			assert.same(case[3], kinds(found))
			assert.same({ case[4], case[4] }, { exit, found.result })
		end)
	end

	describe("of shared sessions", function ()
		local function share(fields)
			local shared = { url = "redis://localhost", key_file = pki.path ".keys" }
			for name, value in pairs(fields or {}) do
				shared[name] = value
			end
			options["*"] = { resumption = { shared = shared } }
			return shared
		end

		local function messages(found)
			local list = {}
			for index, problem in ipairs(found.problems) do
				list[index] = problem.severity .. " " .. problem.kind .. ": " .. problem.message
			end
			return list
		end

		local function made_key(shared)
			return assert(key_file.make(shared.key_file)) and shared
		end

		it("is fine with a key, and where nothing is resumed", function ()
			made_key(share())
			assert.same({ {}, 0 }, { messages((run())), (select(2, run())) })
			options["*"].resumption.enabled, options["*"].resumption.shared.key_file = false, "/none"
			assert.same({}, messages((run())))
		end)

		it("finds a key file that the server would refuse", function ()
			local path = share().key_file
			assert.same({ ("error sharing: no session is shared: %s is missing. Make it with: xmpp-tls-policy new-key %s")
				:format(path, path) }, messages((run())))
			local found, exit = run { other_user = true }
			assert.same({ {}, 2 }, { found.problems, exit })
			assert.matches("is missing", found.unchecked[1].message)
			made_key { key_file = path }
			process.check { "chmod", "0640", path }
			assert.matches("^error sharing: .*has the mode 0640", messages((run()))[1])
			process.check { "chmod", "0600", path }
			files.write(path, "abcd\n")
			assert.matches("^error sharing: .*line 1 has 4 hexadecimal digits", messages((run()))[1])
		end)

		it("finds a missing library, a missing CA file, a wrong URL and a long lifetime", function ()
			local redis = require "xmpp_tls_policy.redis"
			local loaded = package.loaded
			finally(function () loaded["xmpp_tls_policy.redis"] = redis end)
			loaded["xmpp_tls_policy.redis"] = {}
			made_key(share())
			assert.matches("^error sharing: no session is shared: .* when xmpp%-tls%-policy was built", messages((run()))[1])
			loaded["xmpp_tls_policy.redis"] = { connect = true }
			options["*"].resumption.shared.url = "rediss://localhost"
			assert.matches("^error sharing: no session is shared: rediss:// needs hiredis 1.0", messages((run()))[1])
			loaded["xmpp_tls_policy.redis"] = { connect = true, has_tls = true }
			options["*"].resumption.shared.ca_file = "/none/ca.pem"
			options["*"].resumption.lifetime = 7200
			assert.same({
				"error sharing: no session is shared: /none/ca.pem: No such file or directory",
				"warn sharing: Shared sessions last 7200 s. With the key file and a copy of the engine's data they can be opened: "
					.. "set resumption.lifetime to 3600 or less",
			}, messages((run())))
			options["*"].resumption.shared.url = "http://localhost"
			assert.matches("^error option: xmpp_tls_policy.resumption.shared.url is malformed", messages((run()))[1])
		end)
	end)

	it("takes no file that another user may not read for missing", function ()
		made.ssl["b.test"] = false
		local found, exit = run { other_user = true, errors = { "certmanager: cannot read it" } }
		assert.same({ {}, 2 }, { found.problems, exit })
		assert.same({ host = "*", message = "certmanager: cannot read it" }, found.unchecked[4])
		assert.equal("b.test", found.unchecked[1].host)
		-- A problem that was found outweighs it.
		options["a.test"] = { level = "mst" }
		assert.equal(1, select(2, run { other_user = true }))
	end)

	it("has the errors of the server itself", function ()
		local found, exit = run { errors = { "portmanager: no such port" } }
		assert.same({ "error server *" }, kinds(found))
		assert.same({ 1, "portmanager: no such port" }, { exit, found.problems[1].message })
	end)

	it("takes no file of exceptions that another user may not read for missing", function ()
		local path, read = pki.path ".json", exceptions_file.read
		options["*"] = { exceptions = read(path, json.decode) }
		local found, exit = run()
		assert.same({ { "error option *" }, 1 }, { kinds(found), exit })
		found, exit = run { other_user = true }
		assert.same({ {}, 2 }, { kinds(found), exit })
		assert.matches("^xmpp_tls_policy.exceptions cannot be read: .*; in force: no exceptions$", found.unchecked[1].message)
		-- One that was read is wrong for everybody.
		files.write(path, "{ broken")
		options["*"] = { exceptions = read(path, json.decode) }
		found, exit = run { other_user = true }
		assert.same({ { "error option *" }, 1 }, { kinds(found), exit })
	end)

	it("names the place of a problem that no host has in particular", function ()
		made.names, made.modules["*"] = { ["*"] = { "xmpp_tls_polcy" } }, false
		options["*"] = { level = "mst", resumption = { shared = { url = "redis://localhost", key_file = "/none" } } }
		local writer = command_service.writer(400)
		local service = forecast.new(server(), { errors = { "portmanager: no such port" }, is_own_user = true })
		check.run(service, writer, {})
		for _, line in ipairs {
			'Error: configuration: xmpp_tls_policy.level is "mst"; ', 'Warning: configuration: "xmpp_tls_polcy" is no option',
			"Error: server: portmanager: no such port\n", "Error: shared sessions: no session is shared: ",
		} do
			assert.is_truthy(writer.text:find(line, 1, true), line)
		end
	end)

	it("is limited to one host", function ()
		made.ssl["b.test"], options["b.test"] = { ciphers = "AES128-SHA" }, { level = "mst" }
		local found, exit = run { host = "a.test" }
		assert.same({ {}, 0, 3 }, { found.problems, exit, #found.contexts })
		local _, status = run { host = "b.test" }
		assert.equal(1, status)
		local service, writer = forecast.new(server(), { errors = {}, is_own_user = true }), command_service.writer(80)
		assert.same({ 2, '"nowhere.test" is no host of this server' },
			{ check.run(service, writer, { host = "nowhere.test" }) })
	end)
end)
