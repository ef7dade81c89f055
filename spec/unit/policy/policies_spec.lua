local copy = require "xmpp_tls_policy.copy"
local adapter = require "support.adapter"
local date = require "xmpp_tls_policy.date"
local new_policy = require "xmpp_tls_policy.policy".new
local policies = require "xmpp_tls_policy.policy.policies"

describe("the policies", function ()
	local server, found

	local function expires(days)
		return date.of(os.time() + days * 86400)
	end

	before_each(function ()
		server = adapter.new()
		found = policies.new { server = server }
	end)

	local function load(options)
		server.options = options
		found:load()
	end

	-- Every option of two loads, for all and for one host. `name`: of the policy that it comes to.
	local SHOULD, MUST, OTHER = "draft-saintandre-xmpp-tls-02, level should",
		"draft-saintandre-xmpp-tls-02, level must", "rfc9325, level should"
	local global_options = {
		{ value = nil, name = SHOULD },
		{ value = { level = "should" }, name = SHOULD },
		{ value = { level = "must" }, name = MUST },
		{ value = { level = "most" }, wrong = true },
		{ value = "must", wrong = true },
	}
	-- Of these, a host's own; `extends`: what it says beside the options for all.
	local host_options = {
		{ none = true },
		{ value = { profile = "rfc9325" }, extends = "profile" },
		{ value = { level = "must" }, extends = "level" },
		{ value = { level = "none" }, wrong = true },
	}

	-- The name of the policy for all after a load; `before`: nil at the start.
	local function expected_for_all(option, before)
		return option.name or before or SHOULD
	end

	-- The policy of a host, where the rules are: its own options over those for all; with an error in
	-- either, the policy before; at the start, the valid ones of both, with the stricter of the default
	-- and the value for all in the place of a wrong one of its own.
	local function expected_for_host(option, of_all, all_is_wrong, before)
		if option.none then
			return of_all
		elseif option.wrong then
			return before or SHOULD
		elseif all_is_wrong then
			return before or (option.extends == "profile" and OTHER or MUST)
		elseif option.extends == "level" then
			return MUST
		end
		return of_all == MUST and "rfc9325, level must" or OTHER
	end

	it("follow the options of all and of the host, over each two loads", function ()
		local count = 0
		for _, first_all in ipairs(global_options) do
			for _, first_own in ipairs(host_options) do
				for _, second_all in ipairs(global_options) do
					for _, second_own in ipairs(host_options) do
						server = adapter.new()
						found = policies.new { server = server }
						load { ["*"] = copy(first_all.value), ["own.test"] = copy(first_own.value) }
						found:load_host "own.test"
						local all = expected_for_all(first_all)
						local own = expected_for_host(first_own, all, first_all.wrong)
						assert.same({ all, own }, { found:policy_for():name(), found:policy_for("own.test"):name() })
						local objects = { found:policy_for(), found:policy_for "own.test" }
						local generation = found:generation()
						server.lines = {}

						load { ["*"] = copy(second_all.value), ["own.test"] = copy(second_own.value) }
						local all_after = expected_for_all(second_all, all)
						local own_after = expected_for_host(second_own, all_after, second_all.wrong, own)
						assert.same({ all_after, own_after },
							{ found:policy_for():name(), found:policy_for("own.test"):name() })
						-- The same options are the same object, and say nothing anew.
						assert.equal(all == all_after, objects[1] == found:policy_for())
						assert.equal(own == own_after, objects[2] == found:policy_for "own.test")
						assert.equal(all == all_after and own == own_after, generation == found:generation())
						if all == all_after and own == own_after and not second_all.wrong and not second_own.wrong then
							assert.same({}, server.take_lines())
						end
						count = count + 1
					end
				end
			end
		end
		assert.equal(400, count)
	end)

	it("are one object if the options amount to the same", function ()
		load { ["*"] = { level = "must" }, ["own.test"] = { level = "must", mode = "enforce" },
			["other.test"] = { profile = "rfc9325" } }
		for _, host in ipairs { "own.test", "other.test", "none.test" } do
			found:load_host(host)
		end
		assert.equal(found:policy_for(), found:policy_for "own.test")
		assert.equal(found:policy_for(), found:policy_for "none.test")
		assert.are_not.equal(found:policy_for(), found:policy_for "other.test")
	end)

	it("are not checked again while the options are as they were", function ()
		local option_rules = require "xmpp_tls_policy.policy.options"
		local repair_host, checked = option_rules.repair_host, 0
		option_rules.repair_host = function (...)
			checked = checked + 1
			return repair_host(...)
		end
		local given = { ["*"] = { exceptions = { ["old.test"] = { level = "must", expires = expires(90), reason = "x" } } } }
		for number = 1, 50 do
			given[("%d.test"):format(number)] = { mode = number % 2 == 0 and "report" or "enforce" }
		end
		server.options = copy(given)
		found:load()
		for number = 1, 50 do
			found:load_host(("%d.test"):format(number))
		end
		checked = 0
		load(copy(given))
		assert.equal(0, checked)
		given["7.test"].mode = "report"
		load(copy(given))
		option_rules.repair_host = repair_host
		assert.equal(1, checked)
		assert.equal("report", found:policy_for("7.test").mode)
	end)

	it("bear an operator's table that holds itself", function ()
		local own = { level = "must" }
		own.exceptions = { ["old.test"] = own }
		load { ["*"] = nil, ["own.test"] = own }
		found:load_host "own.test"
		assert.same({ MUST, {} }, { found:policy_for("own.test"):name(), found:policy_for("own.test").exceptions })
		found:load()
		assert.equal(MUST, found:policy_for("own.test"):name())
	end)

	it("log the errors of an option at each load", function ()
		load { ["*"] = { level = "most" } }
		local first = server.take_lines()
		assert.matches('^error configuration: xmpp_tls_policy.level is "most"', first[1])
		assert.equal("error all hosts: because of the errors above, the policy is " .. SHOULD, first[2])
		found:load()
		assert.same({ first[1], first[2] }, server.take_lines())
	end)

	local in_2099 = { level = "must", expires = "2099-01-01", reason = "old" }

	-- One wrong option beside valid ones, and the end of its line in the log.
	local wrong_options = {
		{ { levle = "must" }, 'did you mean "level"%?; in force: level = "should"$' },
		{ { level = "most" }, '; in force: level = "should"$' },
		{ { profile = "rfc9352" }, '; in force: profile = "draft%-saintandre%-xmpp%-tls%-02"$' },
		{ { notify_admins = "yes" }, '; in force: notify_admins = false$' },
		{ { resumption = false }, '; in force: resumption.enabled = false$' },
		{ { resumption = { enabled = "no" } }, '; in force: resumption.enabled = false$' },
		{ { resumption = { lifetime = 0 } }, '; in force: resumption.lifetime = 3600$' },
		{ { resumption = { lifetiem = 60 } }, '; in force: resumption.lifetime = 3600$' },
		{ { dhe_per_second = "few" }, "; in force: dhe_per_second = 10$" },
		{ { exceptions = "old.test" }, '; in force: no exceptions$' },
		{ { exceptions = { ["old.test"] = {} } }, '; in force: no such exception$' },
		{ { exceptions = { ["a.test"] = in_2099, ["A.test"] = in_2099 } },
			'"a.test"%] is the same domain as xmpp_tls_policy.exceptions%["A.test"%]; in force: the other exception$' },
		{ { resumption = { shared = true } }, "; in force: no session is shared$" },
		{ { resumption = { shared = {} } }, "; in force: no session is shared$" },
		{ { resumption = { shared = { url = "redis://localhost", key_file = "/k", name = "" } } },
			"; in force: no session is shared$" },
		{ { resumption = { shraed = {} } }, "; in force: no session is shared$" },
		{ { colour = "red" }, '"unauthenticated_s2s"$' },
	}

	local function first_error()
		for _, line in ipairs(server.take_lines()) do
			if line:find "^error " then
				return line
			end
		end
	end

	it("keep all valid options beside a wrong one, and log which value is in force instead", function ()
		for _, case in ipairs(wrong_options) do
			for _, place in ipairs { "*", "own.test" } do
				server = adapter.new()
				found = policies.new { server = server }
				local given = copy(case[1])
				given.mode, given.unauthenticated_s2s, given.certificate_change = "report", "refuse", "refuse"
				if place ~= "*" and given.resumption ~= nil then
					given.resumption = nil
				end
				load { [place] = given }
				found:load_host "own.test"
				local policy = found:policy_for "own.test"
				assert.same({ "report", "refuse", "refuse" },
					{ policy.mode, policy.unauthenticated_s2s, policy.certificate_change })
				if next(case[1]) == "resumption" then
					assert.equal(place == "*" and case[2]:find "enabled" ~= nil, not policy.resumption.enabled)
				end
				if place == "*" or next(case[1]) ~= "resumption" then
					assert.matches(case[2], first_error())
				end
			end
		end
	end)

	it("give a host the stricter of the default and the value for all in the place of a wrong one", function ()
		for name, values in pairs {
			level = { "should", "must" }, mode = { "enforce", "report" }, unauthenticated_s2s = { "refuse", "dialback" },
			certificate_change = { "refuse", "warn" },
		} do
			local default = new_policy()[name]
			for _, of_all in ipairs(values) do
				server = adapter.new()
				found = policies.new { server = server }
				load { ["*"] = { [name] = of_all }, ["own.test"] = { [name] = "?" } }
				found:load_host "own.test"
				local strict = (default == values[1] or of_all == values[1]) and values[1] or values[2]
				assert.equal(strict, found:policy_for("own.test")[name], name .. " = " .. of_all)
			end
		end
	end)

	it("leave out the wrong exceptions alone", function ()
		load { ["*"] = { exceptions = {
			["a.test"] = { level = "must", expires = expires(90), reason = "old" },
			["b.test"] = { level = "should", expires = expires(90), reason = "old" },
			["c.test"] = { level = "must", expires = "soon", reason = "old" },
		} } }
		local lines = server.take_lines()
		for index, domain in ipairs { "b.test", "c.test" } do
			assert.matches(domain, lines[index])
			assert.matches("; in force: no such exception$", lines[index])
			assert.equal(SHOULD, found:policy_for("own.test", domain):name())
		end
		assert.matches("by exception for a.test", found:policy_for("own.test", "a.test"):name())
	end)

	it("say at a reload that the values of before are in force", function ()
		local shared = { url = "redis://localhost", key_file = "/k" }
		load { ["*"] = { level = "must", exceptions = {}, resumption = { shared = shared } } }
		server.take_lines()
		load { ["*"] = { level = "most", exceptions = 1, resumption = { shared = { url = shared.url } } } }
		local lines = server.take_lines()
		assert.matches("; in force: the exceptions of before$", lines[1])
		assert.matches('; in force: level = "must"$', lines[2])
		assert.matches("; in force: sharing as before$", lines[3])
	end)

	it("warn of options of the server whose name is nearly that of ours", function ()
		server.modules = { tls_policy = true }
		server.names = {
			["*"] = { "modules_enabled", "ssl", "tls_policy", "xmpp_tls_polcy", "xmpp_tls_policy" },
			["own.test"] = { "xmpp_tls_policies" },
		}
		load { ["own.test"] = {} }
		server.take_lines()
		found:warn_of_options_without_effect()
		assert.same({
			'warn configuration: "xmpp_tls_polcy" is no option and has no effect; did you mean "xmpp_tls_policy"?',
			'warn own.test: "xmpp_tls_policies" is no option and has no effect; did you mean "xmpp_tls_policy"?',
		}, server.take_lines())
		server.modules = {}
		local first = found:options_without_effect()[1]
		assert.same({ "misspelt-option", "*" }, { first.kind, first.host })
		assert.matches('^"tls_policy" is no option', first.message)
	end)

	-- { mode = report } in a configuration is this table.
	it("warn of an empty table of options, where it stands", function ()
		local sentence = "xmpp_tls_policy is an empty table and has no effect; "
			.. "are quotation marks missing, as in { mode = report }?"
		local ours = { "xmpp_tls_policy" }
		local cases = {
			{ { ["*"] = {} }, { ["*"] = ours }, { "warn configuration: " .. sentence } },
			{ { ["*"] = { level = "must" }, ["own.test"] = {} }, { ["*"] = ours, ["own.test"] = ours },
				{ "warn own.test: " .. sentence } },
			-- Nothing is set, or set for another host.
			{ {}, {}, {} },
			{ { ["*"] = { level = "must" } }, { ["*"] = { "xmpp_tls_policy" } }, {} },
		}
		for _, case in ipairs(cases) do
			server.names = case[2]
			load(case[1])
			server.take_lines()
			found:warn_of_options_without_effect()
			assert.same(case[3], server.take_lines())
		end
	end)

	it("warn of accounts in exceptions that are of no host of this server, once", function ()
		local function exception(accounts)
			return { level = "must", expires = "2099-12-31", reason = "old meters", accounts = accounts }
		end
		load {
			["*"] = { exceptions = {
				["192.0.2.0/24"] = exception { "a@own.test", "b@far.example", "c@OTHER.example" }, ["198.51.100.1"] = exception(),
				["203.0.113.0/24"] = exception { "b@far.example" }, ["far.example"] = exception(),
			} },
			["own.test"] = { level = "must" },
		}
		server.take_lines()
		found:warn_of_options_without_effect()
		local function line(network, account, domain)
			return ('warn configuration: the exception for %s ("old meters") has no effect for "%s": "%s" is no host of this '
				.. "server"):format(network, account, domain)
		end
		assert.same({
			line("192.0.2.0/24", "b@far.example", "far.example"), line("192.0.2.0/24", "c@OTHER.example", "other.example"),
			line("203.0.113.0/24", "b@far.example", "far.example"),
		}, server.take_lines())
		assert.equal("foreign-account", found:options_without_effect()[1].kind)
	end)

	it("keep the errors of the options that were read last, with the values in force", function ()
		load { ["*"] = { level = "most" }, ["own.test"] = { profile = "rfc1" } }
		found:load_host "own.test"
		assert.equal("level", found:errors "*"[1].option)
		assert.matches('; in force: level = "should"$', found:errors "*"[1].message)
		assert.matches('profile is "rfc1"', found:errors "own.test"[1].message)
		assert.same({}, found:errors "other.test")
		load { ["*"] = {}, ["own.test"] = {} }
		found:load_host "own.test"
		assert.same({ {}, {} }, { found:errors "*", found:errors "own.test" })
	end)

	it("log an option that belongs above the hosts, and do without it", function ()
		load { ["*"] = nil, ["own.test"] = { level = "must", resumption = { enabled = false } } }
		found:load_host "own.test"
		assert.matches("own.test: xmpp_tls_policy.resumption is for the whole server",
			table.concat(server.take_lines(), "\n"))
		local own = found:policy_for "own.test"
		assert.same({ MUST, true }, { own:name(), own.resumption.enabled })
		found:load()
		assert.matches("resumption is for the whole server", table.concat(server.take_lines(), "\n"))
	end)

	it("know which hosts they cover", function ()
		load { ["*"] = nil }
		assert.is_false(found:covers "own.test")
		assert.is_false(found:covers(nil))
		local generation = found:generation()
		found:load_host "own.test"
		found:load_host "a.test"
		assert.is_true(found:covers "own.test")
		-- They had this policy before.
		assert.equal(generation, found:generation())
		assert.same({ "a.test", "own.test" }, found:hosts())
		local visited = {}
		found:each(function (host)
			visited[#visited + 1] = host
		end)
		assert.same({ "*", "a.test", "own.test" }, visited)
		found:remove "own.test"
		assert.is_false(found:covers "own.test")
		assert.equal(found:policy_for(), found:policy_for "own.test")
		assert.are_not.equal(generation, found:generation())
		found:clear()
		assert.same({}, found:hosts())
	end)

	it("have exceptions for peers, until these end", function ()
		local function exception(days)
			return { exceptions = { ["old.test"] = { level = "must", expires = expires(days), reason = "old" } } }
		end
		for days, name in pairs { [90] = MUST .. ", by exception for old.test until " .. expires(90), [-2] = SHOULD } do
			load { ["*"] = exception(days) }
			assert.equal(name, found:policy_for("a.test", "old.test"):name())
			assert.equal(SHOULD, found:policy_for("a.test", "new.test"):name())
			assert.equal(SHOULD, found:policy_for("a.test"):name())
		end
	end)

	it("warn of exceptions once for each load, though hosts share them", function ()
		local given = { ["*"] = { exceptions = { ["old.test"] = { level = "must", expires = expires(3), reason = "old" } } } }
		load(copy(given))
		found:load_host "a.test"
		local function warnings()
			local list = {}
			for _, line in ipairs(server.take_lines()) do
				list[#list + 1] = line:match "^warn .*"
			end
			return list
		end
		assert.matches("^warn the exception for old.test %(\"old\"%) ends with", warnings()[1])
		found:warn_of_exceptions()
		assert.same({}, warnings())
		load(copy(given))
		assert.equal(1, #warnings())
	end)

	it("go on over a reload of the module, until the options are read", function ()
		load { ["*"] = { level = "must" } }
		found:load_host "own.test"
		local before = found:policy_for()
		local after = policies.new { server = server, kept = found }
		assert.equal(before, after:policy_for())
		assert.is_true(after:covers "own.test")
		server.options = { ["*"] = { level = "most" } }
		after:load()
		assert.equal(before, after:policy_for())
		server.options = { ["*"] = { level = "must" } }
		server.lines = {}
		after:load()
		assert.equal(before, after:policy_for())
		assert.same({}, server.take_lines())
	end)

	it("tell whether an exception ended between two times", function ()
		local ends = date.ends(expires(1))
		load { ["*"] = { exceptions = { ["old.test"] = { level = "must", expires = expires(1), reason = "old" } } } }
		for _, case in ipairs {
			{ -2, -1, false }, { -1, 0, true }, { -1, 1, true }, { 0, 1, false }, { 1, 2, false }, { 1, -1, false },
		} do
			assert.equal(case[3], found:has_ended_exception(ends + case[1], ends + case[2]),
				("from %d to %d"):format(case[1], case[2]))
		end
	end)
end)
