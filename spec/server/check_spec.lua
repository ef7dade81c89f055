-- The commands `prosodyctl mod_xmpp_tls_policy check` and `xmpp-tls-policy check`: what they foresee of a configuration
-- is what the server does after a start with it.
local date = require "xmpp_tls_policy.date"
local files = require "support.files"
local json = require "dkjson"
local lfs = require "lfs"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local profiles = require "xmpp_tls_policy.policy.profiles"
local xmpp = require "support.xmpp"

local DAY = 86400
local levels = { "should", "must" }
local draft = "draft-saintandre-xmpp-tls-02"

-- A client that offers all that OpenSSL has.
local offer = { options = { "all" }, ciphers = "ALL:@SECLEVEL=0" }

describe("the check of a configuration", function ()
	local authority, ssl_tables
	local servers = prosody.group()

	setup(function ()
		authority = pki.authority()
		local dhparam = pki.path ".dh"
		pki.run { "openssl", "dhparam", "-out", dhparam, "1024" }
		ssl_tables = {
			none = false,
			all = { protocol = "sslv3+", ciphers = "ALL:@SECLEVEL=0", dhparam = dhparam },
			cbc = { ciphers = "ECDHE-RSA-AES128-SHA:AES128-SHA" },
			old = { protocol = "tlsv1_1", ciphers = "ECDHE-RSA-AES128-SHA:@SECLEVEL=0" },
			groups = { curveslist = { "P-521", "X25519" }, ciphers = "ECDHE+AESGCM" },
			nothing = { protocol = "tlsv1_2", ciphers = "ECDHE-RSA-CAMELLIA128-SHA256" },
		}
	end)

	after_each(servers.stop)

	teardown(pki.remove)

	local function certified(name, options, key)
		local issued = authority:issue { names = { name }, key = key or "rsa2048", not_after = os.time() + 90 * DAY + 3600 }
		return { certificate = issued.certificate, key = issued.key, options = options }
	end

	local function start(spec)
		spec.ca, spec.routes = authority.certificate, {}
		spec.with_policy = spec.with_policy ~= false
		spec.modules = { "test_outgoing", (table.unpack or unpack)(spec.modules or {}) }
		return servers.start(spec)
	end

	local function decoded(output)
		return assert(json.decode((output:match "^{\n.*" or output:match "\n({\n.*)" or output)), output)
	end

	-- The data of the check, and its exit status.
	local function check(server, ...)
		local output, exit = process.run(server:prosodyctl("mod_xmpp_tls_policy", "check", "--format", "json", ...))
		local found = decoded(output)
		assert.equal(exit, found.result, output)
		return found
	end

	local function status(server)
		return decoded((server:shell [[tlspolicy:status("json")]]:gsub("OK: [^\n]*%s*$", "")))
	end

	local function key_of(row)
		return table.concat({ row.host or "any", row.role, row.service }, " ")
	end

	-- A check and a status may be on two days.
	local compared = {
		"lowest", "highest", "versions", "suites", "suite_names", "groups", "dh_bits", "failure", "resumption", "policy",
		"mode", "certificate_ends", "ports",
	}

	local function parts_of(row)
		local parts = {}
		for _, field in ipairs(compared) do
			parts[field] = row[field]
		end
		return parts
	end

	-- Rows of contexts by key. An exception's contexts are apart.
	local function by_key(rows)
		local found = {}
		for _, row in ipairs(rows) do
			found[key_of(row)] = not row.domain and row.serves ~= "old" and parts_of(row) or nil
		end
		return found
	end

	local function open(server, service, host, protocol)
		local tls = { protocol = protocol or "any" }
		for name, value in pairs(offer) do
			tls[name] = value
		end
		return xmpp.connect(server:target(service, host), { from = service == "s2s" and "far.test" or nil }), tls
	end

	-- The version that a handshake by STARTTLS negotiates; nil if there is none.
	local function negotiated(server, service, host, protocol)
		local peer, tls = open(server, service, host, protocol)
		local done = peer:open() and peer:request_tls() and peer:secure(tls)
		local version = done and peer.socket:info("protocol") or nil
		peer:close()
		return version
	end

	local services = { c2s = "c2s", s2sin = "s2s" }
	local clients = { { "any" }, { "tlsv1_2", "TLSv1.2" }, { "tlsv1_1", "TLSv1.1" }, { "tlsv1", "TLSv1" } }

	-- The version that a row foresees for a client that offers all, or one version alone.
	local function foreseen(row, version)
		local versions = row.versions or {}
		for _, known in ipairs(versions) do
			if known == version then
				return version
			end
		end
		return not version and versions[#versions] or nil
	end

	-- Each row for STARTTLS against handshakes, which also give the server's contexts to its module.
	local function compare_with_handshakes(server, rows)
		local count, wrong = 0, {}
		for _, row in ipairs(rows) do
			for _, client in ipairs(row.service == "STARTTLS" and services[row.role] and clients or {}) do
				local version = negotiated(server, services[row.role], row.host, client[1])
				if version ~= foreseen(row, client[2]) then
					wrong[#wrong + 1] = ("%s, %s: %s, not %s"):format(key_of(row), client[1], tostring(version),
						tostring(foreseen(row, client[2])))
				end
				count = count + 1
			end
		end
		assert.same({}, wrong)
		return count
	end

	-- `missing`: key -> true for rows of contexts that the server could not make, which has none then.
	local function compare_with_status(server, rows, missing)
		server:wait_for_log "All hosts have sent"
		local expected = by_key(rows)
		for key in pairs(missing or {}) do
			assert.is_string(expected[key].failure, key)
			expected[key] = nil
		end
		assert.same(expected, by_key(status(server).contexts))
	end

	-- Lines of our module's about the configuration, at levels warn and error.
	local function lines_of(server)
		local lines = {}
		for level, line in server:log():gmatch "xmpp_tls_policy\t(%l+)\t([^\n]*)" do
			lines[#lines + 1] = (level == "warn" or level == "error") and line or nil
		end
		return lines
	end

	-- Kinds of problems that the server's log has in the same words.
	local logged = {
		option = true, ["misspelt-option"] = true, ended = true, ending = true, idle = true, obstructed = true, outage = true,
		["foreign-account"] = true, ["no-tls"] = true, ["lost-version"] = true, ["no-starttls"] = true, certificate = true,
		key = true,
	}

	-- A line of the log names the first host of several with the same certificate, and where a context is.
	local function in_general(message)
		return (message:gsub('"[^"]*"', '""'):gsub(" %([%w_]+_direct_tls%)", ""))
	end

	local function compare_with_log(server, found)
		local lines, problems = lines_of(server), { (table.unpack or unpack)(found.problems) }
		for _, item in ipairs(found.overridden) do
			problems[#problems + 1] = { message = item.message, severity = "info" }
		end
		local function has_line(message)
			for _, line in ipairs(lines) do
				if in_general(line):find(in_general(message), 1, true) then
					return true
				end
			end
		end
		for _, problem in ipairs(problems) do
			if logged[problem.kind] and problem.severity ~= "info" then
				assert.is_true(has_line(problem.message), problem.message)
			end
		end
		for _, line in ipairs(lines) do
			local is_known = line:find("because of the errors above", 1, true)
			for _, problem in ipairs(problems) do
				is_known = is_known or in_general(line):find(in_general(problem.message), 1, true)
			end
			assert.is_truthy(is_known, "not foreseen: " .. line)
		end
	end

	-- Messages of problems of a kind, by host.
	local function problems_of(found, kind)
		local by_host = {}
		for _, problem in ipairs(found.problems) do
			for _, host in ipairs(problem.kind == kind and problem.hosts or {}) do
				by_host[host] = problem.message
			end
		end
		return by_host
	end

	-- Starts a server and compares all of it. Returns the server and what was found.
	local function compare(spec, missing)
		local server = start(spec)
		local found = check(server)
		local handshakes = compare_with_handshakes(server, found.contexts)
		compare_with_status(server, found.contexts, missing)
		compare_with_log(server, found)
		return server, found, handshakes
	end

	it("foresees each context of all profiles, levels and lists, as status, handshakes and the log show them", function ()
		local hosts = {}
		for _, profile in ipairs(profiles.names) do
			for _, level in ipairs(levels) do
				for kind, ssl in pairs(ssl_tables) do
					local name = ("%s.%s.%s.test"):format(kind, level, profile)
					hosts[name] = certified(name, { xmpp_tls_policy = { profile = profile, level = level }, ssl = ssl or nil })
				end
			end
		end
		hosts["ecdsa.test"] = certified("ecdsa.test", nil, "p256")
		hosts["bare.test"] = {}
		hosts["report.test"] = certified("report.test", {
			xmpp_tls_policy = { mode = "report" }, ssl = { protocol = "tlsv1_2", ciphers = "AES128-SHA" },
		})
		hosts["wrong.test"] = certified("wrong.test", {
			xmpp_tls_policy = { level = "mst", profile = "rfc9325" }, xmpp_tls_polcy = {},
		})
		hosts["off.test"] = certified("off.test", { modules_disabled = { "xmpp_tls_policy" } })
		hosts["shut.test"] = certified("shut.test", { modules_disabled = { "tls" } })
		hosts["peers.test"] = certified("peers.test", { xmpp_tls_policy = { exceptions = {
			["old.test"] = { level = "must", expires = date.of(os.time() + 9 * DAY), reason = "being replaced" },
		} } })
		local _, found, handshakes = compare {
			hosts = hosts, domain = "ecdsa.test",
			components = { ["rooms.ecdsa.test"] = { module = "muc", options = { xmpp_tls_policy = { level = "must" } } } },
		}
		assert.equal(1, found.result)
		assert.is_true(handshakes >= 4 * 2 * 12 * #profiles.names, handshakes)
		assert.matches('level is "mst"', problems_of(found, "option")["wrong.test"])
		assert.matches('in force: level = "should"$', problems_of(found, "option")["wrong.test"])
		assert.matches("did you mean", problems_of(found, "misspelt-option")["wrong.test"])
		assert.is_truthy(problems_of(found, "no-certificate")["bare.test"])
		assert.matches("were enforced, no %l+ could connect with TLS", problems_of(found, "outage")["report.test"])
		assert.matches("mod_tls is not loaded", problems_of(found, "no-starttls")["shut.test"])
		assert.matches("ends with", problems_of(found, "ending")["peers.test"])
		assert.is_truthy(problems_of(found, "no-tls")["nothing.should." .. draft .. ".test"])
		assert.is_truthy(problems_of(found, "lost-version")["cbc.should." .. draft .. ".test"])
		-- The ports of direct TLS have other lists.
		local has_idle_level = {}
		for _, problem in ipairs(found.problems) do
			for _, host in ipairs(problem.kind == "idle-level" and not problem.message:find "_direct_tls" and problem.hosts
				or {}) do
				has_idle_level[host] = true
			end
		end
		assert.is_true(has_idle_level["none.must." .. draft .. ".test"])
		assert.is_nil(has_idle_level["all.must." .. draft .. ".test"])
		assert.same({ "off.test" }, found.uncovered)
		assert.is_nil(problems_of(found, "not-covered")["off.test"])
	end)

	local rfc9325 = { profile = "rfc9325" }
	local worlds = {
		{ "tls_profile = \"old\"", { tls_profile = "old" }, { level = "must" } },
		{ "tls_profile = \"modern\"", { tls_profile = "modern" }, rfc9325 },
		{ "tls_profile = \"legacy\"", { tls_profile = "legacy" }, { profile = "rfc7590", level = "must" } },
		{ "own lists for each role", {
			c2s_ssl = { protocol = "tlsv1_2" }, s2s_ssl = { ciphers = "DHE+AESGCM" },
			c2s_direct_tls_ssl = { protocol = "tlsv1_3" }, s2s_direct_tls_ssl = { curveslist = { "P-521" } },
		}, { level = "must" } },
		{ "report mode", { ssl = { ciphers = "AES128-SHA", protocol = "tlsv1_2" } }, { mode = "report" } },
		{ "errors in the options", {}, {
			level = "mst", mode = "report", profile = "rfc9352", resumption = { enabled = 1 },
		} },
		{ "no option that can be read", {}, 7 },
	}

	for _, world in ipairs(worlds) do
		it("foresees each context with " .. world[1], function ()
			local _, found = compare {
				hosts = { ["a.test"] = certified "a.test", ["b.test"] = certified("b.test", { xmpp_tls_policy = rfc9325 }, "p256"),
					["c.test"] = {} },
				components = { ["rooms.a.test"] = { module = "muc" } }, options = world[2], policy = world[3],
			}
			assert.is_truthy(problems_of(found, "no-certificate")["c.test"])
		end)
	end

	it("says which options of the server have no effect, or take the effect of an exception away", function ()
		local _, found = compare {
			hosts = { ["a.test"] = certified "a.test" },
			options = { tls_profile = "old", s2s_secure_auth = true, c2s_require_encryption = false },
			policy = { exceptions = { ["far.example"] = {
				unauthenticated_s2s = "dialback", expires = date.of(os.time() + 100 * DAY), reason = "waits for a CA",
			} } },
		}
		local overridden = {}
		for _, item in ipairs(found.overridden) do
			overridden[item.message:gsub("%d+ are .*", "")] = true
		end
		assert.is_true(overridden['of the cipher suites of TLS 1.2 and older in tls_profile = "old", '])
		assert.is_true(overridden["c2s_require_encryption = false has no effect: the policy requires TLS"])
		assert.matches("has no effect: s2s_secure_auth is on", problems_of(found, "obstructed")["a.test"])
		assert.equal(1, found.result)
	end)

	it("says which hosts are not covered, unless the configuration disables the module there", function ()
		local spec = {
			hosts = { ["a.test"] = certified("a.test", { modules_enabled = { "xmpp_tls_policy" } }),
				["b.test"] = certified "b.test",
				["c.test"] = certified("c.test", { modules_disabled = { "xmpp_tls_policy" } }) },
			with_policy = false,
			options = { installer_plugin_path = require "support.configuration".tree },
		}
		local server, found = compare(spec)
		assert.same({ "b.test", "c.test" }, found.uncovered)
		assert.same({ ["b.test"] = problems_of(found, "not-covered")["b.test"] }, problems_of(found, "not-covered"))
		assert.equal(1, found.result)
		spec.hosts["a.test"].options = nil
		server:configure { hosts = spec.hosts }
		assert.matches("enabled on no host", problems_of(check(server), "not-enabled")["*"])
	end)

	-- All below a folder, whose name ends in a slash: path -> kind, inode, size, time of the last change.
	local function snapshot(folder, found)
		found = found or {}
		for name in lfs.dir(folder) do
			local path = folder .. name
			local attributes = lfs.symlinkattributes(path)
			found[path] = name ~= ".." and ("%s %s %d %d"):format(attributes.mode, attributes.ino, attributes.size,
				attributes.modification) or nil
			if attributes.mode == "directory" and name:sub(1, 1) ~= "." then
				snapshot(path .. "/", found)
			end
		end
		return found
	end

	it("says the same of a server that runs and of one that is stopped, and changes nothing", function ()
		local directory = process.scratch "" .. "/"
		assert(lfs.mkdir(directory))
		local function copied(name)
			local host = certified(name)
			host.options = { certificate = directory .. name .. ".crt" }
			for part, suffix in pairs { certificate = ".crt", key = ".key" } do
				files.write(directory .. name .. suffix, files.read(host[part]))
				host[part] = nil
			end
			return host
		end
		local server = start {
			hosts = { ["a.test"] = copied "a.test", ["b.test"] = copied "b.test" },
			policy = { level = "must", resumption = { memory = 2 } },
		}
		local path = directory .. "prosody.cfg.lua"
		local text = files.read(server.config_path):gsub(server.directory:gsub("%p", "%%%0") .. "/data", directory .. "data")
		assert(lfs.mkdir(directory .. "data"))
		files.write(path, text)
		local function run()
			local before = snapshot(directory)
			assert.is_string(before[directory .. "data/."])
			local output, exit = process.run { "prosodyctl", "--config", path, "mod_xmpp_tls_policy", "check", "--format",
				"json" }
			assert.equal(0, exit, output)
			assert.same(before, snapshot(directory))
			return decoded(output)
		end
		local running = run()
		server:stop()
		assert.same(running, run())
	end)

	-- The stand-alone command, from the checkout.
	local function stand_alone(server, ...)
		return process.run { "lua5.4", "lua/bin/xmpp-tls-policy", "check", "--config", server.config_path, ... }
	end

	it("is the same by the stand-alone command, which prints nothing else on its standard output", function ()
		local server = start { hosts = { ["a.test"] = certified "a.test", ["b.test"] = {} }, domain = "a.test" }
		local output, exit = stand_alone(server, "--format", "json")
		assert.equal(1, exit)
		assert.same(check(server), assert(json.decode(output), output))
		output, exit = stand_alone(server, "--format", "json", "A.test")
		assert.equal(0, exit, output)
		for _, row in ipairs(json.decode(output).contexts) do
			assert.is_true(row.host == nil or row.host == "a.test")
		end
	end)

	it("is a table and sentences for people", function ()
		local server = start { hosts = { ["a.test"] = certified "a.test", ["b.test"] = {} }, domain = "a.test" }
		local output, exit = stand_alone(server, "--width", "100")
		assert.equal(1, exit)
		assert.matches("^Version ", output)
		assert.matches("\na.test +c2s +STARTTLS +" .. server.ports.c2s .. " ", output)
		assert.matches("\nSuites of [^\n]*a.test c2s", output)
		assert.matches("\nError: b.test %(c2s%): there is no certificate for it", output)
		assert.matches("\n%d+ contexts, %d errors, 0 warnings\n$", output)
		for line in output:gmatch "[^\n]+" do
			assert.is_true(#line:gsub("[\128-\191]", "") <= 100, line)
		end
	end)

	it("ends with 2 if the configuration cannot be checked", function ()
		local server = start { hosts = { ["a.test"] = certified "a.test" } }
		for _, case in ipairs {
			{ { "nowhere.test" }, '"nowhere.test" is no host of this server' },
			{ { "--config", server.directory .. "/none.cfg.lua" }, "unable to find the configuration file" },
		} do
			local output, exit = stand_alone(server, (table.unpack or unpack)(case[1]))
			assert.equal(2, exit, output)
			assert.is_truthy(output:find(case[2], 1, true), output)
		end
		local configuration = files.read(server.config_path)
		files.write(server.config_path, "VirtualHost (")
		local output, exit = stand_alone(server)
		assert.equal(2, exit)
		assert.matches("could not be checked; prosodyctl says:\n.*Error", output)
		files.write(server.config_path, configuration)
		for _, case in ipairs {
			{ { "chekc" }, "chekc is no command: check is the one" },
			{ { "check", "a.test", "b.test" }, "b.test is too much: " },
			{ { "check", "--format=xml" }, "xml is no format" },
			{ { "check", "--width=39" }, "a width is a number of at least" },
			{ { "check", "--colour" }, "--colour is no option" },
		} do
			local output_of_module, exit_of_module = process.run(server:prosodyctl("mod_xmpp_tls_policy",
				(table.unpack or unpack)(case[1])))
			assert.is_true(exit_of_module ~= 0, output_of_module)
			assert.is_truthy(output_of_module:find(case[2], 1, true), output_of_module)
		end
	end)

	it("fits the terminal, however narrow, and whatever the environment says of it", function ()
		local server = start { hosts = { ["a.test"] = certified "a.test" } }
		local function run_check(columns, ...)
			local output, exit = process.run { "env", "COLUMNS=" .. columns,
				(table.unpack or unpack)(server:prosodyctl("mod_xmpp_tls_policy", "check", ...)) }
			assert.equal(0, exit, output)
			-- A day may end meanwhile.
			return (output:gsub("%d+ days", "days"))
		end
		local expected = {}
		for _, width in ipairs { "40", "50", "132" } do
			expected[width] = run_check("", "--width=" .. width)
		end
		for columns, width in pairs {
			["1"] = "40", ["39"] = "40", ["50"] = "50", ["0"] = "132", ["-1"] = "132", wide = "132", [""] = "132",
		} do
			assert.equal(expected[width], run_check(columns), columns)
		end
	end)

	it("does not take files that only the server's user can read for missing", function ()
		if process.check { "id", "-u" } ~= "0\n" then
			return pending "only root can become another user"
		end
		local server = start { hosts = { ["a.test"] = certified "a.test", ["b.test"] = certified "b.test" } }
		process.check { "chmod", "755", server.directory, server.directory .. "/keys" }
		process.check { "chmod", "600", server.directory .. "/keys/a.test.key" }
		process.check { "chmod", "644", server.config_path, server.directory .. "/keys/b.test.key" }
		local function as_nobody(...)
			return process.run { "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
				(table.unpack or unpack)(server:prosodyctl("mod_xmpp_tls_policy", "check", ...)) }
		end
		local output, exit = as_nobody("--format", "json")
		assert.equal(2, exit, output)
		local found = decoded(output)
		assert.same({}, found.problems)
		assert.equal("a.test", found.unchecked[1].host)
		assert.matches("private key", found.unchecked[1].message)
		output, exit = as_nobody("b.test")
		assert.equal(2, exit, output)
		assert.matches("\nNot checked: ", output)
		assert.equal(0, check(server).result)
	end)
end)
