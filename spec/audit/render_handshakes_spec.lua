-- Real programs with the configuration that render/ makes of a policy: handshakes show that its claims hold.
local accepted = require "support.accepted"
local pki = require "support.pki"
local process = require "support.process"
local program = require "support.rendered_program"
local render = require "xmpp_tls_policy.render"
local suites = require "xmpp_tls_policy.policy.suites"
local tls_policy = require "xmpp_tls_policy"

-- The clauses whose state decides on a test.
local asked = { ["resume.session-id"] = true, ["renegotiation.secure"] = true }

-- The certificate has an RSA key.
local function works_with_rsa(suite)
	return suite.authentication == "RSA" or suite.authentication == "certificate"
end

-- The names of a list of the policy, as a set in lower case, of those that were tried.
local function permitted(policy, list, tried)
	local set = {}
	for _, name in ipairs(policy:settings()[list] or {}) do
		local suite = suites.by_name[name]
		set[name:lower()] = tried[name:lower()] and (not suite or works_with_rsa(suite)) or nil
	end
	return set
end

local function reversed(names)
	local list = {}
	for index = #names, 1, -1 do
		list[#list + 1] = names[index]
	end
	return list
end

-- The policy's suites for the certificate, in its order.
local function own_suites(policy, list)
	local names = {}
	for _, name in ipairs(policy:settings()[list] or {}) do
		names[#names + 1] = works_with_rsa(suites.by_name[name]) and name or nil
	end
	return names
end

-- A client of the openssl command with an open connection.
local function s_client(target, ...)
	local command = { "openssl", "s_client", "-connect", "127.0.0.1:" .. target.port, "-servername", target.domain, ... }
	if not target.direct_tls then
		for _, word in ipairs { "-starttls", "xmpp", "-xmpphost", target.domain } do
			command[#command + 1] = word
		end
	end
	local child = process.spawn(command)
	assert(child:wait_for "Verify return code", child:output())
	return child
end

-- Asks for a renegotiation in TLS 1.2. Returns whether the connection outlives it.
local function renegotiates(target)
	local child = s_client(target, "-tls1_2")
	child:write "R\n"
	assert(child:wait_for "RENEGOTIATING")
	child:wait_for "no renegotiation"
	local refused = child:output():find("no renegotiation", 1, true) or child:status()
	child:close()
	return not refused
end

-- The number of bytes of the ticket of a session (nil: none); 0 without one.
local function ticket_length(session)
	if not session then
		return 0
	end
	local text = pki.run({ "openssl", "sess_id", "-inform", "DER", "-noout", "-text" }, pki.write(session, ".session"))
	local dump, count = text:match "TLS session ticket:\n(.-)\n%s*\n" or "", 0
	for line in dump:gmatch "[^\n]+" do
		local digits = line:match "%- (.-)   " or ""
		count = count + select(2, digits:gsub("%x%x", ""))
	end
	return count
end

-- The lines of a configuration, and how the clauses are held that a test asks for: where these are the same,
-- the configurations of two policies need one test.
local function claims(policy, name)
	local rendered = render.of(policy, name, { dhparam = "/dh" })
	local parts = { program.lines(rendered.text) }
	for _, clause in ipairs(rendered.clauses) do
		parts[#parts + 1] = asked[clause.id] and clause.id .. clause.state or nil
	end
	return table.concat(parts, "\n")
end

local function describe_policy(policy, name)
	local started, target
	local settings = policy:settings()
	local has_tls12 = suites.rank[settings.minimum_version] <= suites.rank["TLSv1.2"]

	local function state(id)
		for _, clause in ipairs(started.rendered.clauses) do
			if clause.id == id then
				return clause.state
			end
		end
	end

	setup(function ()
		started = program.start(name, policy, program.files())
		target = started.target
	end)

	teardown(function ()
		if started then
			started.stop()
		end
		pki.remove()
	end)

	it("accepts the versions that the policy permits", function ()
		local found = accepted.versions(target)
		for _, version in ipairs { "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3" } do
			if suites.rank[version] < suites.rank[settings.minimum_version] then
				-- OpenSSL's security level would rule out the old ones, too, with another alert. ejabberd of
				-- Debian 12 sends none.
				assert.matches(name == "ejabberd" and "" or "protocol version", found[version])
			elseif suites.rank[version] >= suites.rank["TLSv1.2"] then
				assert.is_true(found[version], version)
			end
		end
	end)

	for _, list in ipairs { "ciphers", "ciphersuites" } do
		it(("accepts the policy's %s, and no others"):format(list), function ()
			local found, tried = accepted.names(target, list)
			local own = permitted(policy, list, tried)
			if list == "ciphersuites" and name == "ejabberd" and not settings.ciphersuites[3] then
				-- ejabberd cannot choose them, and the text says so.
				assert.equal("part", state "cipher.aes" or state "cipher.aes-sha2")
				own.tls_chacha20_poly1305_sha256 = true
			end
			assert.same(own, found)
		end)

		it(("prefers the %s in the order that the policy wants"):format(list), function ()
			local names = own_suites(policy, list)
			if not names[1] then
				return
			end
			local facts = assert(accepted.facts(target, { [list] = reversed(names),
				maximum_version = list == "ciphers" and "TLSv1.2" or nil }))
			-- Some profiles leave the choice to the client.
			assert.equal(names[settings.client_preference and #names or 1], facts.cipher_suite)
		end)
	end

	it("puts ChaCha20 first for a client that does, as far as it says so", function ()
		local held = state "order.chacha20"
		local names = { "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384" }
		local chosen = held and assert(accepted.facts(target, { ciphersuites = names })).cipher_suite
		assert.equal(held and names[(held == "line" or held == "itself") and 1 or 2] or nil, chosen or nil)
	end)

	it("accepts the policy's groups, and no short ones", function ()
		local found, tried = accepted.names(target, "groups")
		for group in pairs(permitted(policy, "groups", tried)) do
			assert.is_true(found[group], group)
		end
		if name ~= "ejabberd" then
			assert.same(permitted(policy, "groups", tried), found)
		end
		for _, group in ipairs { "secp192r1", "secp224r1" } do
			assert.is_nil(accepted.facts(target, { groups = { group }, maximum_version = "TLSv1.2",
				ciphers = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" } }), group)
		end
	end)

	it("has DH keys that are long enough, where it has DHE", function ()
		local facts = accepted.facts(target, { ciphers = { "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384" },
			maximum_version = "TLSv1.2" })
		assert.equal(permitted(policy, "ciphers", { tls_dhe_rsa_with_aes_256_gcm_sha384 = true })
			.tls_dhe_rsa_with_aes_256_gcm_sha384 or false, facts ~= nil)
		if facts then
			-- openssl.cnf leaves the parameters to the program, and the text says so.
			local is_held = state "key.dh3000" == nil or name ~= "openssl" or state "key.dh3000" == "line"
			assert.is_true(facts.group_bits >= (is_held and math.max(settings.dh_bits or 0, 2048) or 2048))
		end
	end)

	it("gives no ticket that holds a session", function ()
		if has_tls12 then
			assert.equal(0, ticket_length(accepted.session(target, { maximum_version = "TLSv1.2" })))
		end
		-- A ticket that is only an ID has 32 bytes. All programs give one.
		assert.equal(32, ticket_length(accepted.session(target, { minimum_version = "TLSv1.3" })))
	end)

	it("resumes by session ID, as far as it says so", function ()
		if not has_tls12 or not policy:enforces "resume.session-id" or state "resume.session-id" ~= "line" then
			return
		end
		local tls12 = { maximum_version = "TLSv1.2" }
		local session = assert(accepted.session(target, tls12))
		assert.is_true(assert(accepted.facts(target, tls12, session)).resumed)
	end)

	it("refuses renegotiation, as far as it says so", function ()
		local held = state "renegotiation.secure"
		if has_tls12 and (held == "line" or held == "itself") then
			assert.is_false(renegotiates(target))
		end
	end)
end

for _, name in ipairs(render.names) do
	local missing = program.missing(name)
	describe(name, function ()
		if missing then
			return it("under a rendered configuration", function ()
				pending(missing)
			end)
		end
		local is_run = {}
		for _, profile in ipairs(tls_policy.profile_names) do
			for _, level in ipairs { "should", "must" } do
				local policy = assert(tls_policy.policy { profile = profile, level = level })
				local key = claims(policy, name)
				if not is_run[key] then
					is_run[key] = true
					describe("under " .. policy:name(), function ()
						describe_policy(policy, name)
					end)
				end
			end
		end
	end)
end
