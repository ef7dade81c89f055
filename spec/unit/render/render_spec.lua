-- The policy as configuration for other programs. spec/audit/render_*_spec.lua runs these programs with it.
local clauses = require "xmpp_tls_policy.policy.clauses"
local compare = require "unit.golden.compare"
local demands = require "xmpp_tls_policy.render.demands"
local openssl_names = require "xmpp_tls_policy.render.openssl_names"
local process = require "support.process"
local render = require "xmpp_tls_policy.render"
local suites = require "xmpp_tls_policy.policy.suites"
local tls_policy = require "xmpp_tls_policy"
local version = require "xmpp_tls_policy.version"

local states = {
	line = true, itself = true, part = true, no = true, arranged = true, ["not enforced"] = true, nothing = true,
}

-- Calls visit(policy, target) for all profiles, levels and targets.
local function each(visit)
	for _, profile in ipairs(tls_policy.profile_names) do
		for _, level in ipairs { "should", "must" } do
			for _, target in ipairs(render.names) do
				visit(assert(tls_policy.policy { profile = profile, level = level }), target)
			end
		end
	end
end

local function has_word(text, word)
	return (" " .. text .. " "):find("%f[%w%-_.]" .. word:gsub("%p", "%%%0") .. "%f[^%w%-_]") ~= nil
end

-- The text without its comments.
local function without_comments(text)
	return (text:gsub("\n%s*[#%-][^\n]*", function (line)
		return line:find "^\n%s*%- " and line or ""
	end))
end

-- A copy of a policy without one of its clauses, with the same settings.
local function without_clause(policy, id)
	local copy = setmetatable({ clauses = {} }, { __index = policy })
	for _, entry in ipairs(policy.clauses) do
		copy.clauses[#copy.clauses + 1] = entry.id ~= id and entry or nil
	end
	return copy
end

each(function (policy, target)
	describe(("%s, for %s,"):format(policy:name(), target), function ()
		local full = { openssl = "3.5", dhparam = "/etc/ssl/dh.pem" }
		local rendered = render.of(policy, target, full)

		it("is as in spec/unit/golden", function ()
			compare(("render-%s-%s-%s.txt"):format(target, policy.profile, policy.level),
				(rendered.text:gsub(version:gsub("%p", "%%%0"), "VERSION")))
		end)

		it("says of each clause, in the policy's order, how it is held", function ()
			local ids = {}
			for index, entry in ipairs(policy.clauses) do
				ids[index] = entry.id
			end
			for index, clause in ipairs(rendered.clauses) do
				assert.equal(ids[index], clause.id)
				assert.is_true(states[clause.state], clause.id)
				assert.is_true(has_word(rendered.text, clause.id), clause.id)
				local has_reason = clause.state == "itself" or clause.state == "part" or clause.state == "no"
				assert.equal(has_reason, clause.reason ~= nil, clause.id)
			end
			assert.equal(#ids, #rendered.clauses)
		end)

		it("has the suites that the policy permits, and no others", function ()
			local code, is_permitted = without_comments(rendered.text), {}
			for _, name in ipairs(policy:settings().ciphers or {}) do
				is_permitted[name] = true
			end
			for _, suite in ipairs(suites.ciphers) do
				local name = openssl_names.suite(suite.name)
				assert.equal(is_permitted[suite.name] or false, has_word(code, name), name)
			end
		end)

		it("says of a clause that a line holds, above that line, that it does", function ()
			for _, clause in ipairs(rendered.clauses) do
				if clause.state == "line" then
					local shorter = render.of(without_clause(policy, clause.id), target, full).text
					assert.is_false(has_word(shorter, clause.id), clause.id)
				end
			end
		end)

		it("has the same code without a clause that a line does not hold, or that is not the only one", function ()
			for _, clause in ipairs(rendered.clauses) do
				if clause.state ~= "line" and clause.state ~= "part" and clause.state ~= "arranged" then
					local shorter = render.of(without_clause(policy, clause.id), target, full).text
					assert.equal(without_comments(rendered.text), without_comments(shorter), clause.id)
				end
			end
		end)
	end)
end)

describe("a line of a configuration", function ()
	it("is left out if no clause asks for it", function ()
		local policy = tls_policy.policy()
		for target, line in pairs { prosody = "no_compression = true", ejabberd = "c2s_tls_compression: false" } do
			assert.matches(line, render.of(policy, target).text, nil, true)
			local text = render.of(without_clause(policy, "compress.tls"), target).text
			assert.is_nil(text:find(line, 1, true), target)
		end
	end)
end)

describe("a clause", function ()
	local function state(target, id, options, given)
		for _, clause in ipairs(render.of(assert(tls_policy.policy(options)), target, given).clauses) do
			if clause.id == id then
				return clause.state, clause.reason
			end
		end
	end

	it("that wants DHE is held in part by programs without a file of parameters", function ()
		for _, target in ipairs { "prosody", "ejabberd", "nginx" } do
			assert.same({ "part", "DHE needs a file of parameters: give --dhparam" },
				{ state(target, "cipher.recommended") })
			if target ~= "prosody" then
				assert.equal("line", (state(target, "cipher.recommended", nil, { dhparam = "/dh.pem" })))
			end
		end
		assert.same({ "part", "Prosody 0.12 has no DHE with direct TLS for clients that name the host" },
			{ state("prosody", "cipher.recommended", nil, { dhparam = "/dh.pem" }) })
		assert.equal("line", (state("haproxy", "cipher.recommended")))
		assert.equal("line", (state("nginx", "cipher.ecdhe-gcm", { profile = "rfc9325" })))
	end)

	it("that is not enforced at the level is listed as such", function ()
		assert.equal("line", (state("nginx", "version.tls10", { level = "should" })))
		assert.equal("not enforced", (state("nginx", "version.tls10", { level = "must" })))
		assert.equal("nothing", (state("nginx", "version.tls11")))
		assert.equal("line", (state("nginx", "key.dhe", { profile = "rfc9325", level = "should" })))
		assert.equal("arranged", (state("nginx", "key.dhe", { profile = "rfc9325", level = "must" })))
	end)

	it("about groups is held by ejabberd only where the policy permits all groups of OpenSSL's own", function ()
		assert.equal("itself", (state("ejabberd", "group.recommended", { profile = "rfc9325" })))
		assert.same({ "no", "ejabberd has no option for the groups; it offers OpenSSL's own" },
			{ state("ejabberd", "group.four", { profile = "mozilla-intermediate-6.0" }) })
	end)

	it("makes the demands of its settings and of the server's configuration", function ()
		local entries = {}
		for _, entry in ipairs(tls_policy.policy().clauses) do
			entries[entry.id] = entry
		end
		assert.same({ minimum_version = true }, demands.of_clause(tls_policy.policy(), entries["version.tls10"]))
		assert.same({ require_starttls = true }, demands.of_clause(tls_policy.policy(), entries["support.required"]))
		assert.same({ dh_bits = true, security_level = true }, demands.of_clause(tls_policy.policy(), entries["key.dh2048"]))
		assert.same({ ciphers = true, dhe = true }, demands.of_clause(tls_policy.policy(), entries["cipher.recommended"]))
		-- RC4 was never a suite of TLS 1.3 in the tables, but its rule asks for encryption that is known.
		assert.is_true(demands.of_clause(tls_policy.policy(), entries["cipher.null"]).ciphersuites)
		assert.same({}, demands.of_clause(tls_policy.policy(), entries["version.tls11"]))
		assert.same({}, demands.of_clause(tls_policy.policy(), entries["admin.status"]))
	end)

	it("names only demands that are known", function ()
		for id, clause in pairs(clauses) do
			for _, name in ipairs(clause.configuration or {}) do
				assert.is_string(demands.meanings[name], id)
			end
		end
	end)
end)

describe("the groups", function ()
	it("are those that the target's OpenSSL has, as it refuses a list with an unknown one", function ()
		local policy = tls_policy.policy()
		for _, target in ipairs { "prosody", "openssl", "haproxy", "nginx" } do
			for openssl, expected in pairs { ["3.0"] = false, ["3.4"] = false, ["3.5"] = true, ["4.0"] = true } do
				local text = render.of(policy, target, { openssl = openssl }).text
				assert.equal(expected, without_comments(text):find("X25519MLKEM768", 1, true) ~= nil, target .. openssl)
				local remark = ("For OpenSSL %s, which lacks X25519MLKEM768."):format(openssl)
				assert.equal(not expected, text:find(remark, 1, true) ~= nil)
			end
		end
	end)
end)

describe("a milder level", function ()
	it("says how far it goes beyond the stricter one", function ()
		local text = render.of(assert(tls_policy.policy { level = "must" }), "nginx").text:gsub("\n# ", "")
		assert.matches("(TLS 1.0, TLS 1.1, 18 more cipher suites)", text, nil, true)
		assert.is_nil(render.of(tls_policy.policy(), "nginx").text:find("more cipher suites", 1, true))
	end)
end)

describe("OpenSSL's names of suites", function ()
	it("are those of the openssl command", function ()
		local theirs, count = {}, 0
		for iana, name in process.check({ "openssl", "ciphers", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0" })
			:gmatch "(TLS_%S+)%s+%-%s+(%S+)" do
			theirs[iana] = name
		end
		each(function (policy)
			for _, list in ipairs { "ciphers", "ciphersuites" } do
				for _, name in ipairs(policy:settings()[list] or {}) do
					assert.equal(theirs[name], openssl_names.suite(name))
					count = count + 1
				end
			end
		end)
		assert.is_true(count > 100)
	end)
end)
