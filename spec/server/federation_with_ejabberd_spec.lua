-- Prosody under the policy and ejabberd: Debian's packages of this system and of another release.
local debian_tree = require "support.debian_tree"
local ejabberd = require "support.ejabberd"
local federation = require "support.federation"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local versions = require "support.versions"

local ca_signed, self_signed = federation.certificates[1], federation.certificates[2]
local directions = { { from = "prosody", to = "ejabberd" }, { from = "ejabberd", to = "prosody" } }
-- The values of unauthenticated_s2s on Prosody.
local answers = { "dialback", "refuse" }
local willing = { protocol = "tlsv1+", ciphers = "HIGH:!aNULL:@SECLEVEL=0" }

-- Each test has hosts of its own: variant -> options of the host, beside its certificate.
local prosody_hosts = {
	dialback = {}, refuse = { xmpp_tls_policy = { unauthenticated_s2s = "refuse" } },
	should = { ssl = willing }, must = { ssl = willing, xmpp_tls_policy = { level = "must" } },
}
local ejabberd_hosts = {
	dialback = {}, refuse = {},
	tls12 = { s2s_protocol_options = { "no_tlsv1_3" } },
	should = { s2s_protocol_options = { "no_tlsv1_3", "no_tlsv1_2" }, s2s_ciphers = "ALL:@SECLEVEL=0" },
	must = { s2s_protocol_options = { "no_tlsv1_3", "no_tlsv1_2" }, s2s_ciphers = "ALL:@SECLEVEL=0" },
	plain = { s2s_use_starttls = false },
}

local function host_name(side, certificate, variant, direction)
	return ("%s-%s-to-%s.%s.test"):format(certificate.label, variant, direction.to, side)
end

-- Calls visit(name, certificate's files, options) for all hosts of a side.
local function each_host(side, variants, authority, visit)
	for _, certificate in ipairs(federation.certificates) do
		local names, options_of = {}, {}
		for variant, options in pairs(variants) do
			for _, direction in ipairs(directions) do
				names[#names + 1] = host_name(side, certificate, variant, direction)
				options_of[names[#names]] = options
			end
		end
		local files = certificate.make(authority, names)
		for _, name in ipairs(names) do
			visit(name, files, options_of[name])
		end
	end
end

local function start_prosody(authority)
	local hosts, names = {}, {}
	each_host("prosody", prosody_hosts, authority, function (name, files, options)
		hosts[name] = { certificate = files.certificate, key = files.key, options = options }
		names[#names + 1] = name
	end)
	return prosody.start { hosts = hosts, ca = authority.certificate, routes = {}, with_policy = true }, names
end

local function start_ejabberd(root, authority, peers, peer_port)
	local hosts, options_of = {}, {}
	each_host("ejabberd", ejabberd_hosts, authority, function (name, files, options)
		hosts[name] = { certificate = files.certificate, key = files.key }
		options_of[name] = next(options) and options or nil
	end)
	return ejabberd.start {
		root = root, hosts = hosts, ca = authority.certificate, peers = peers, peer_port = peer_port,
		-- As in Debian's configuration.
		options = { s2s_use_starttls = "required", host_config = options_of },
	}
end

local function describe_pair(root, version)
	local ours, theirs
	-- Debian's newer ejabberd also accepts certificates without clientAuth from clients.
	local any_purpose = tonumber(version:match "^%d+") >= 24

	setup(function ()
		local authority = pki.authority()
		local names
		ours, names = start_prosody(authority)
		theirs = start_ejabberd(root, authority, names, ours.ports.s2s)
		local routes = {}
		for name in pairs(theirs.spec.hosts) do
			routes[name] = { s2s = theirs.ports.s2s }
		end
		ours:configure { routes = routes }
		ours:reload()
	end)

	teardown(function ()
		for _, server in ipairs { theirs or false, ours or false } do
			if server then
				server:stop()
			end
		end
		pki.remove()
	end)

	-- Returns whether there was an answer, and the whole output.
	local function ping(direction, our_host, their_host)
		if direction.from == "prosody" then
			local output = ours:shell(("xmpp:ping(%q, %q, 20)"):format(our_host, their_host))
			return output:find("pong", 1, true) ~= nil, output
		end
		local answer = theirs:ping(their_host, our_host)
		return answer:find("type='result'", 1, true) ~= nil, answer
	end

	local function assert_streams(our_host, their_host, certificates, negotiated)
		local found = federation.streams(ours, our_host, their_host)
		local our_own, their_own = certificates.prosody, certificates.ejabberd
		for role, mechanism in pairs {
			s2sout = (our_own.for_clients or our_own.valid and any_purpose) and "EXTERNAL" or "dialback",
			s2sin = their_own.valid and "EXTERNAL" or "dialback",
		} do
			local wanted = federation.row(their_own.valid, mechanism, negotiated)
			assert.same(wanted, federation.fields(found[role], wanted), ("%s of %s"):format(role, our_host))
		end
	end

	-- Failed handshakes are collected once a second.
	local function assert_kept(our_host, wanted)
		local kept = process.poll(process.PATIENCE, function ()
			return federation.refused(ours, our_host)[1]
		end)
		assert.same(wanted, federation.fields(kept, wanted))
	end

	local function federate(direction, certificates, answer)
		local our_host = host_name("prosody", certificates.prosody, answer, direction)
		local their_host = host_name("ejabberd", certificates.ejabberd, answer, direction)
		local answered, said = ping(direction, our_host, their_host)
		if answer == "dialback" or certificates.ejabberd.valid then
			assert.is_true(answered, said)
			return assert_streams(our_host, their_host, certificates)
		end
		local why = federation.no_certificate(their_host)
		assert.is_false(answered, said)
		-- ejabberd reports the first of two: the stream error, or that it is not authenticated.
		if direction.from == "prosody" then
			assert.matches(why, said, nil, true)
		else
			assert.matches("type='error'", said, nil, true)
		end
		assert_kept(our_host, {
			what = "stream", role = direction.from == "prosody" and "s2sout" or "s2sin", domain = their_host,
			clauses = { "unauth.encrypt" }, text = why,
		})
		assert.same({}, federation.streams(ours, our_host, their_host))
	end

	-- Pings between two hosts with CA-signed certificates.
	local function special(direction, our_variant, their_variant)
		local our_host = host_name("prosody", ca_signed, our_variant, direction)
		local their_host = host_name("ejabberd", ca_signed, their_variant, direction)
		return our_host, their_host, ping(direction, our_host, their_host)
	end
	local both_signed = { prosody = ca_signed, ejabberd = ca_signed }

	for _, direction in ipairs(directions) do
		local way = ("from %s to %s, "):format(direction.from, direction.to)
		for _, answer in ipairs(answers) do
			for _, one in ipairs(federation.certificates) do
				it(way .. ("%s, unauthenticated_s2s = %q"):format(one.name, answer), function ()
					federate(direction, { prosody = one, ejabberd = one }, answer)
				end)
			end
			it(way .. ("only Prosody's certificate is CA-signed, unauthenticated_s2s = %q"):format(answer), function ()
				federate(direction, { prosody = ca_signed, ejabberd = self_signed }, answer)
			end)
			it(way .. ("only ejabberd's certificate is CA-signed, unauthenticated_s2s = %q"):format(answer), function ()
				federate(direction, { prosody = self_signed, ejabberd = ca_signed }, answer)
			end)
		end

		it(way .. "TLS 1.2 if ejabberd has no other version", function ()
			local our_host, their_host, answered, said = special(direction, "dialback", "tls12")
			assert.is_true(answered, said)
			assert_streams(our_host, their_host, both_signed, federation.tls12)
		end)

		it(way .. 'TLS 1.1 is refused at level "should"', function ()
			local our_host, their_host, answered, said = special(direction, "should", "should")
			assert.is_false(answered, said)
			assert_kept(our_host, direction.from == "prosody" and {
				what = "handshake", role = "s2sout", domain = their_host,
				-- ejabberd 23.01 hangs up without an alert.
				text = any_purpose and "has no TLS version that is allowed here; an exception may help"
					or "closed the connection in the handshake, without an alert; an exception may help",
			} or {
				what = "handshake", role = "s2sin", clauses = { "version.tls12", "cipher.aead" },
				text = "offers nothing newer than TLS 1.1; needs TLS 1.2 with a cipher suite such as "
					.. "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 or an exception",
			})
			assert.same({}, federation.streams(ours, our_host, their_host))
		end)

		it(way .. 'TLS 1.1 is accepted at level "must"', function ()
			local our_host, their_host, answered, said = special(direction, "must", "must")
			assert.is_true(answered, said)
			assert_streams(our_host, their_host, both_signed, federation.tls11)
		end)

		it(way .. "support.required: nothing passes without TLS", function ()
			local our_host, their_host, answered, said = special(direction, "dialback", "plain")
			assert.is_false(answered, said)
			assert.same({}, federation.streams(ours, our_host, their_host))
			if direction.from == "ejabberd" then
				-- Our features require STARTTLS, so ejabberd ends the stream itself.
				return assert.matches("STARTTLS is disabled in local configuration", said, nil, true)
			end
			local why = "draft-saintandre-xmpp-tls-02, section 4.1, support.abort (MUST): "
				.. "the remote server offers no STARTTLS"
			assert.matches(why, said, nil, true)
			assert_kept(our_host, { what = "stream", role = "s2sout", domain = their_host, text = why })
		end)
	end

	if version == "23.01" or version == "24.12" then
		it("is named in the fleet", function ()
			local our_host, _, answered, said = special(directions[2], "dialback", "dialback")
			assert.is_true(answered, said)
			assert.matches("ejabberd " .. version .. " +s2sin", (ours:shell(("tlspolicy:fleet(%q)"):format(our_host))))
		end)
	end
end

local root, no_root = debian_tree.find()

for _, system in ipairs { { name = "of this system" }, { name = "of Debian 13", root = root, missing = no_root } } do
	local version, missing = nil, system.missing
	if not missing then
		version, missing = ejabberd.version(system.root)
	end
	local pair = ("Prosody %s under the policy and ejabberd %s"):format(versions.prosody(), version or system.name)
	describe(pair, function ()
		if missing then
			return it("federate", function ()
				pending(missing)
			end)
		end
		describe_pair(system.root, version)
	end)
end
