local client_hello = require "support.client_hello"
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local lfs = require "lfs"
local pki = require "support.pki"
local process = require "support.process"
local signature_schemes = require "xmpp_tls_policy.policy.signature_schemes"
local ssl = require "ssl"
local unpack = table.unpack or unpack
local versions = require "support.versions"

local context = core.context

-- A client with these leaves the parameters of DHE to the server (rfc7919.4.shared-group).
local without_fields = { "x25519" }

describe("a context", function ()
	local authority, files, p256

	setup(function ()
		authority = pki.authority()
		files = authority:issue { names = { "example.test" }, key = "rsa2048" }
		p256 = authority:issue { names = { "example.test" }, key = "p256" }
	end)

	teardown(function ()
		pki.remove()
	end)

	local function server(more)
		local options = { role = "server", certificate = files.certificate, key = files.key }
		for name, value in pairs(more or {}) do
			options[name] = value
		end
		return assert(context.new(options))
	end

	local function client(settings)
		local made = assert(context.new { role = "client", verify = "none" })
		assert(made:apply(settings or {}))
		return made
	end

	local function luasec(more)
		local options = {
			mode = "server", protocol = "any", certificate = files.certificate, key = files.key,
			options = { "no_sslv3", "no_tlsv1" }, curveslist = "P-384:X25519",
			ciphers = "ECDHE+AESGCM:ECDHE+AES:@SECLEVEL=0", verify = "none",
		}
		for name, value in pairs(more or {}) do
			options[name] = value
		end
		return assert(ssl.newcontext(options))
	end

	describe("of our own", function ()
		it("is made for a server or a client", function ()
			assert.matches("^Context %(server%)", tostring(server()))
			assert.matches("^Context %(client%)", tostring(client()))
		end)

		for _, case in ipairs {
			{ "no options", nil, "bad argument #1 to '.*' %(table expected, got n" },
			{ "no role", {}, "context.new: role is neither 'server' nor 'client'" },
			{ "a wrong role", { role = "peer" }, "context.new: role is neither 'server' nor 'client'" },
			{ "an unknown option", { role = "server", cert = "x" }, "context.new: unknown option 'cert'" },
			{ "a path with a NUL", { role = "server", certificate = "/etc\0x" },
				"context.new: certificate is no string, or has a NUL in it" },
			{ "a number for a path", { role = "server", certificate = 1 },
				"context.new: certificate is no string, or has a NUL in it" },
			{ "a wrong verify", { role = "server", verify = "maybe" },
				"context.new: verify is neither 'none' nor 'require'" },
		} do
			it("refuses " .. case[1], function ()
				local ok, message = pcall(context.new, case[2])
				assert.is_false(ok)
				assert.matches(case[3], message)
			end)
		end

		it("says which certificate file is missing", function ()
			local made, message, code = context.new { role = "server", certificate = "/no/such.pem", key = files.key }
			assert.is_nil(made)
			assert.equal("cannot read certificate '/no/such.pem': No such file or directory", message)
			assert.equal("file", code)
		end)

		it("says which key file is missing", function ()
			local made, message, code = context.new { role = "server", certificate = files.certificate, key = "/no/key" }
			assert.is_nil(made)
			assert.equal("cannot read key '/no/key': No such file or directory", message)
			assert.equal("file", code)
		end)

		it("refuses a directory for a certificate", function ()
			local made, message = context.new { role = "server", certificate = "/", key = files.key }
			assert.is_nil(made)
			assert.equal("cannot read certificate '/': Is a directory", message)
		end)

		it("refuses a certificate without its key", function ()
			local made, message, code = context.new { role = "server", certificate = files.certificate }
			assert.is_nil(made)
			assert.equal("a certificate and its key have to be given both", message)
			assert.equal("file", code)
		end)

		it("refuses a key that belongs to another certificate", function ()
			local made, message, code = context.new {
				role = "server", certificate = files.certificate, key = p256.key,
			}
			assert.is_nil(made)
			assert.matches("^key '.*' does not belong to certificate '.*'", message)
			assert.equal("mismatch", code)
		end)

		it("refuses a file that is truncated or no PEM", function ()
			local truncated = pki.write(pki.truncated(files.pem), ".pem")
			local text = pki.write("no PEM at all\n", ".pem")
			for _, path in ipairs { truncated, text } do
				local made, message, code = context.new { role = "server", certificate = path, key = files.key }
				assert.is_nil(made)
				assert.equal(("'%s' holds no certificate that can be used"):format(path), message:match "^(.-) %(")
				assert.equal("parse", code)
			end
			local made, message, code = context.new { role = "server", certificate = files.certificate, key = text }
			assert.is_nil(made)
			assert.matches("holds no private key that can be read", message)
			assert.equal("parse", code)
		end)

		it("inspects its certificate and key", function ()
			local found = server():inspect()
			assert.equal("RSA", found.key_type)
			assert.equal(2048, found.key_bits)
			assert.is_true(found.key_matches)
			assert.is_true(found.certificate:matches("example.test", "xmpp-server"))
			assert.same({}, found.chain)
			assert.same({}, client():inspect())
			assert.equal(found.certificate:facts().sha256, server():certificate():facts().sha256)
			assert.is_nil(client():certificate())
		end)

		it("inspects the issuer of its certificate, if that is an authority of its own", function ()
			local found = server { ca_file = authority.certificate }:inspect()
			assert.equal(found.certificate:facts().issuer, found.issuer:facts().subject)
			assert.equal((authority.pem:gsub("%s", "")), (found.issuer:pem():gsub("%s", "")))
			assert.is_nil(server { ca_file = pki.authority().certificate }:inspect().issuer)
			assert.is_nil(server():inspect().issuer)
		end)

		it("inspects the chain that is sent after its certificate", function ()
			local intermediate = pki.authority():intermediate { common_name = "Between" }
			local issued = intermediate:issue { names = { "example.test" }, key = "p256" }
			local made = assert(context.new { role = "server", certificate = issued.certificate, key = issued.key })
			local chain = made:inspect().chain
			assert.equal(1, #chain)
			assert.equal("CN=Between", chain[1]:facts().subject)
		end)

		it("cannot be used after it was closed, but closed twice", function ()
			local made = server()
			made:close()
			made:close()
			for _, method in ipairs { "apply", "settings", "release", "disable", "inspect" } do
				local ok, message = pcall(made[method], made, {})
				assert.is_false(ok)
				assert.matches("context is closed", message)
			end
			assert.matches("^Context %(closed%)", tostring(made))
		end)
	end)

	describe("of LuaSec's", function ()
		-- Lua runs finalisers a few at a time, while a weak table still has what they are for. In
		-- a process of its own, which fails alone.
		it("is adopted, or is closed, whenever the collector runs", function ()
			if _VERSION ~= "Lua 5.4" then
				pending "only Lua 5.4 lets a collector's steps be made so small"
			end
			local output = process.check { "env", "LUA_CPATH=" .. package.cpath, lfs.symlinkattributes("/proc/self/exe").target,
				"-e", [[
				local core, ssl = require "xmpp_tls_policy.core", require "ssl"
				local weak = setmetatable({}, { __mode = "k" })
				collectgarbage()
				collectgarbage "stop"
				for _ = 1, 300 do
					weak[ssl.newcontext { mode = "server", protocol = "any" }] = true
				end
				collectgarbage("incremental", 100, 100, 6)
				collectgarbage "restart"
				local adopted, closed = 0, 0
				for luasec in pairs(weak) do
					local context, _, code = core.context.adopt(luasec)
					if context then
						context:close()
						adopted = adopted + 1
					else
						assert(code == "closed", code)
						closed = closed + 1
					end
				end
				print(adopted, closed)
			]] }
			local adopted, closed = output:match "^(%d+)\t(%d+)\n$"
			assert.is_true(tonumber(adopted) > 0 and tonumber(closed) > 0, output)
		end)

		it("is adopted in place", function ()
			local theirs = luasec()
			local ours = assert(context.adopt(theirs))
			assert(ours:apply { minimum_version = "TLSv1.3" })
			assert.equal("TLSv1.3", assert(context.adopt(theirs)):settings().minimum_version)
		end)

		it("is found in Prosody 13's table", function ()
			local theirs = luasec()
			assert(context.adopt({ _inner = theirs }):apply { minimum_version = "TLSv1.3" })
			assert.equal("TLSv1.3", context.adopt(theirs):settings().minimum_version)
		end)

		it("is not changed by being adopted", function ()
			local settings = context.adopt(luasec()):settings()
			assert.equal("TLSv1.1", settings.minimum_version)
			assert.same({ "secp384r1", "x25519" }, settings.groups)
			assert.equal(2, settings.tickets)
		end)

		it("is read and changed where it can have no TLS 1.3", function ()
			for _, more in ipairs { { ciphersuites = "" }, { curveslist = "brainpoolP256r1" } } do
				more.protocol, more.options = "tlsv1_2", {}
				local ours = assert(context.adopt(luasec(more)))
				assert.equal("TLSv1.2", assert(ours:settings()).maximum_version)
				assert(ours:apply { no_compression = true })
				assert.truthy(handshake.between(client { groups = { "brainpoolP256r1", "x25519", "secp384r1" } }, ours, nil,
					{ role = "server" }))
			end
		end)

		it("is disabled where SNI puts it in the place of another, too", function ()
			local socket = require "socket"
			local base, named = luasec(), luasec { ciphers = "NULL:AES128-SHA:@SECLEVEL=0", ciphersuites = "" }
			assert(context.adopt(base):apply {})
			local ours = assert(context.adopt(named))
			local listener = assert(socket.bind("127.0.0.1", 0))
			local function meets()
				local near = assert(socket.connect("127.0.0.1", (select(2, listener:getsockname()))))
				near = assert(ssl.wrap(near, { mode = "client", protocol = "tlsv1_2", verify = "none", ciphers =
					"ALL:NULL:@SECLEVEL=0" }))
				near:sni "named.test"
				local far = assert(ssl.wrap(listener:accept(), base))
				far:sni({ ["named.test"] = named }, true)
				near:settimeout(0)
				far:settimeout(0)
				local near_done, far_done, reason
				repeat
					near_done = near_done or near:dohandshake()
					local done, why = far:dohandshake()
					far_done, reason = far_done or done, why
				until near_done and far_done or reason and reason ~= "wantread" and reason ~= "wantwrite"
				near:close()
				far:close()
				return far_done
			end
			assert.is_true(meets())
			assert(ours:disable())
			assert.is_falsy(meets())
			assert(ours:release())
			assert.is_true(meets())
			listener:close()
		end)

		it("is refused when it was freed already", function ()
			local theirs = luasec()
			getmetatable(theirs).__gc(theirs)
			local ours, message, code = context.adopt(theirs)
			assert.is_nil(ours)
			assert.equal("the LuaSec context is closed", message)
			assert.equal("closed", code)
		end)

		it("may be freed by LuaSec while it is adopted", function ()
			local theirs = luasec()
			local ours = assert(context.adopt(theirs))
			getmetatable(theirs).__gc(theirs)
			assert.equal("TLSv1.1", ours:settings().minimum_version)
			assert(ours:apply { minimum_version = "TLSv1.2" })
			assert(ours:release())
		end)

		it("is kept alive by its adoption", function ()
			local ours = assert(context.adopt(luasec()))
			collectgarbage()
			collectgarbage()
			assert.truthy(handshake.between(client(), ours, nil, { role = "server" }))
		end)

		for _, value in ipairs { "nil", "io.stdout", "{}", "'text'", "1" } do
			it("is not taken for " .. value, function ()
				local ok, message = pcall(context.adopt, (loadstring or load)("return " .. value)())
				assert.is_false(ok)
				assert.matches("LuaSec context expected", message)
			end)
		end

		-- rfc7919.A.groups
		it("keeps the operator's DH parameters where they are long enough, else replaces them", function ()
			for bits, expected in pairs { [1024] = 2048, [3072] = 3072 } do
				local pem = pki.run { "openssl", "dhparam", "-dsaparam", tostring(bits) }
				local ours = context.adopt(luasec {
					ciphers = "DHE+AESGCM:@SECLEVEL=0", dhparam = function () return pem end,
				})
				local result = assert(ours:apply { maximum_version = "TLSv1.2", dh_bits = 2048, security_level = 0 })
				assert.equal(bits < 2048 and bits or nil, result.dh_bits)
				local one = assert(handshake.between(client { security_level = 0 }, ours, nil, { role = "server" }))
				assert.equal(expected, one:facts().group_bits)
			end
		end)
	end)

	describe("under settings", function ()
		local settings = {
			minimum_version = "TLSv1.2",
			maximum_version = "TLSv1.3",
			ciphers = { "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" },
			ciphersuites = { "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256" },
			groups = { "secp256r1", "x25519" },
			signature_schemes = { "rsa_pss_rsae_sha512", "ecdsa_sha1", "ed25519", "rsa_pkcs1_sha256" },
			dh_bits = 3072,
			security_level = 1,
			server_preference = true,
			chacha20_preference = true,
			no_compression = true,
			no_renegotiation = true,
			no_stateless_tickets = true,
			no_early_data = true,
		}

		-- rfc8446.E.5.no-early-data, early-data.none
		it("reads the applied settings back from OpenSSL", function ()
			local made = server()
			assert.same({}, made:apply(settings))
			local in_force = made:settings()
			assert.equal(0, in_force.tickets)
			in_force.tickets = nil
			assert.same(settings, in_force)
		end)

		it("lets the server's order decide, or the client's (order.client)", function ()
			local lists = {
				["TLSv1.2"] = { "ciphers", { "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" } },
				["TLSv1.3"] = { "ciphersuites", { "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256" } },
			}
			for version, case in pairs(lists) do
				local list, names = case[1], case[2]
				local other = assert(core.context.new { role = "client", verify = "none" })
				assert(other:apply { minimum_version = version, maximum_version = version, [list] = { names[2], names[1] } })
				for preference, expected in pairs { server_preference = names[1], client_preference = names[2] } do
					local made = server()
					assert(made:apply { [list] = names, server_preference = preference == "client_preference" })
					assert(made:apply { [list] = names, [preference] = true })
					assert.equal(preference == "server_preference", made:settings().server_preference)
					assert.equal(expected, assert(handshake.between(other, made)):facts().cipher_suite)
				end
			end
		end)

		it("gives way to a client that puts ChaCha20 first, if it is told to (order.chacha20)", function ()
			for version, case in pairs {
				["TLSv1.2"] = { "ciphers", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" },
				["TLSv1.3"] = { "ciphersuites", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256" },
			} do
				local list, names = case[1], { case[2], case[3] }
				for preference, expected in pairs { [true] = names[2], [false] = names[1] } do
					local made = server()
					-- What was there before does not count.
					assert(made:apply { [list] = names, server_preference = true, chacha20_preference = not preference })
					assert(made:apply { [list] = names, server_preference = true, chacha20_preference = preference })
					assert.equal(preference or nil, made:settings().chacha20_preference)
					for first = 1, 2 do
						local other = assert(core.context.new { role = "client", verify = "none" })
						assert(other:apply { minimum_version = version, maximum_version = version,
							[list] = { names[first], names[3 - first] } })
						assert.equal(first == 2 and expected or names[1],
							assert(handshake.between(other, made)):facts().cipher_suite)
					end
				end
			end
		end)

		it("reads groups of all kinds back in their order", function ()
			for _, groups in ipairs {
				{ "ffdhe3072", "secp521r1", "x448", "x25519" }, { "brainpoolP256r1", "ffdhe2048", "secp384r1" },
				{ "secp256r1" }, { "brainpoolP384r1" },
			} do
				local made = server()
				assert(made:apply { groups = groups, maximum_version = groups[2] and "TLSv1.3" or "TLSv1.2" })
				assert.same(groups, made:settings().groups)
			end
		end)

		-- rfc8446.4.2.8.key-shares
		it("sends as a client the key shares it is told to, where OpenSSL can send more than one", function ()
			local groups = { "brainpoolP999r1", "x25519", "secp256r1", "secp384r1" } -- the first is unknown
			for key_shares = 1, 4 do
				local made = client()
				assert.same({ groups = { groups[1] } }, made:apply { groups = groups, key_shares = key_shares })
				assert.same({ unpack(groups, 2) }, made:settings().groups)
				local connection = assert(core.connection.new(made))
				connection:handshake()
				local hello = client_hello.parse(connection:take())
				connection:close()
				assert.same({ unpack(groups, 2) }, hello.groups)
				assert.same({ unpack(groups, 2, versions.has_key_shares() and key_shares + 1 or 2) }, hello.key_shares)
			end
		end)

		-- The schemes in a ClientHello of a context: names, or "0x" and a number for one that the reader does not know.
		local function offered_schemes(made)
			local connection = assert(core.connection.new(made))
			connection:handshake()
			local hello = client_hello.parse(connection:take())
			connection:close()
			return hello.signature_schemes
		end

		-- rfc8446.4.2.3.signature-schemes
		it("offers the signature schemes it is told to, and reads back what it offers", function ()
			local made = client { security_level = 0 }
			local before, originally = made:settings().signature_schemes, offered_schemes(made)
			assert.same(#originally, #before)
			for index, name in ipairs(originally) do
				assert.is_true(name == before[index] or name:find "^0x" ~= nil and not signature_schemes.by_name[before[index]])
			end
			local names = { "nonsense", "rsa_pss_rsae_sha256", "ecdsa_sha224", "ecdsa_secp384r1_sha384", "ed448" }
			assert.same({ signature_schemes = { "nonsense" } }, made:apply { signature_schemes = names })
			assert.same({ unpack(names, 2) }, made:settings().signature_schemes)
			assert.same({ unpack(names, 2) }, offered_schemes(made))
			assert.is_true(made:release())
			assert(made:apply { security_level = 0 })
			assert.same(before, made:settings().signature_schemes)
			assert.same(originally, offered_schemes(made))
		end)

		it("keeps its signature schemes if it knows none of those it is told to have", function ()
			local made = server()
			local before = made:settings()
			assert.same({ nil, "nothing is left of signature_schemes; asked: nonsense", "empty" },
				{ made:apply { minimum_version = "TLSv1.3", signature_schemes = { "nonsense" } } })
			assert.same(before, made:settings())
		end)

		it("has its original settings after release", function ()
			for _, made in ipairs { server(), assert(context.adopt(luasec())) } do
				local before = made:settings()
				assert(made:apply(settings))
				assert.is_true(made:release())
				assert.same(before, made:settings())
				assert.is_true(made:release())
			end
		end)

		it("is kept with its settings until its release, whatever is applied meanwhile", function ()
			for _, made in ipairs { server(), assert(context.adopt(luasec())) } do
				local before = made:settings()
				for _ = 1, 2 do
					local known = {}
					assert.same(before, made:keep(known))
					assert.equal(made:keep(known), made:keep(known))
					assert(made:apply(settings))
					local in_force = made:settings()
					assert.is_nil((made:apply { groups = { "one" }, minimum_version = "TLSv1.3" }))
					assert.same(in_force, made:settings())
				end
				assert.is_true(made:release())
				assert.same(before, made:settings())
				assert.same(before, made:keep {})
				assert.is_nil((made:apply { groups = { "one" }, minimum_version = "TLSv1.3" }))
				assert.same(before, made:settings())
				assert.is_true(made:release())
				assert.same(before, made:settings())
			end
		end)

		it("drops and names settings that this OpenSSL does not know", function ()
			local made = server()
			local dropped = made:apply {
				ciphers = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_FOO", "TLS_RSA_WITH_RC4_128_MD5" },
				ciphersuites = { "TLS_BAR", "TLS_AES_128_GCM_SHA256" },
				groups = { "x25519", "curve_of_tomorrow" },
			}
			assert.same({
				ciphers = { "TLS_FOO", "TLS_RSA_WITH_RC4_128_MD5" },
				ciphersuites = { "TLS_BAR" },
				groups = { "curve_of_tomorrow" },
			}, dropped)
			local in_force = made:settings()
			assert.same({ "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" }, in_force.ciphers)
			assert.same({ "TLS_AES_128_GCM_SHA256" }, in_force.ciphersuites)
			assert.same({ "x25519" }, in_force.groups)
		end)

		for _, case in ipairs {
			{ "a list of which nothing is left", { groups = { "one", "two" } }, "nothing is left of groups; asked: one, two",
				"empty" },
			{ "one of the lists of which nothing is left", { ciphers = { "TLS_FOO" }, groups = { "x25519" } },
				"nothing is left of ciphers; asked: TLS_FOO", "empty" },
			{ "the last of the lists of which nothing is left", { ciphers = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" },
				ciphersuites = { "TLS_AES_128_GCM_SHA256" }, groups = { "one" } },
				"nothing is left of groups; asked: one", "empty" },
			{ "an empty list", { ciphers = {} }, "nothing is left of ciphers; asked: nothing", "empty" },
			{ "versions that exclude each other", { minimum_version = "TLSv1.3", maximum_version = "TLSv1.2" },
				"no protocol version is left", "empty" },
			{ "a level above the context's own key", { security_level = 3 },
				"the certificate's key of 2048 bits is too weak for security level 3", "weak" },
		} do
			it("refuses " .. case[1] .. ", and stays as it was", function ()
				local made = server()
				assert(made:apply(settings))
				local before = made:settings()
				local asked = { server_preference = true, dh_bits = 4096 }
				for field, value in pairs(case[2]) do
					asked[field] = value
				end
				local result, message, code = made:apply(asked)
				assert.is_nil(result)
				assert.equal(case[3], message)
				assert.equal(case[4], code)
				assert.same(before, made:settings())
			end)
		end

		for _, case in ipairs {
			{ { cipher = {} }, "settings: unknown field 'cipher'" },
			{ { [1] = "x" }, "settings: unknown field '%?'" },
			{ { minimum_version = "TLSv1.4" }, "settings: minimum_version is no protocol version" },
			{ { maximum_version = 3 }, "settings: maximum_version is no protocol version" },
			{ { dh_bits = -1 }, "settings: dh_bits is no integer from 0 to 8192" },
			{ { dh_bits = 2048.5 }, "settings: dh_bits is no integer from 0 to 8192" },
			{ { dh_bits = 0 / 0 }, "settings: dh_bits is no integer from 0 to 8192" },
			{ { dh_bits = 1e300 }, "settings: dh_bits is no integer from 0 to 8192" },
			{ { security_level = 6 }, "settings: security_level is no integer from 0 to 5" },
			{ { security_level = "2" }, "settings: security_level is no integer from 0 to 5" },
			{ { ciphers = "HIGH" }, "settings: ciphers is no list" },
			{ { ciphers = { "ALL:@SECLEVEL=0" } }, "settings: ciphers%[1%] is no name" },
			{ { groups = { "DEFAULT" } }, "settings: groups%[1%] is no name" },
			{ { groups = { "-x25519" } }, "settings: groups%[1%] is no name" },
			{ { groups = { "x25519", "a\0b" } }, "settings: groups%[2%] is no name" },
			{ { groups = { 25519 } }, "settings: groups%[1%] is no name" },
			{ { no_compression = 1 }, "settings: no_compression is no boolean" },
		} do
			it("raises an error for misuse: " .. case[2], function ()
				local made = server()
				local before = made:settings()
				local ok, message = pcall(made.apply, made, case[1])
				assert.is_false(ok)
				assert.matches(case[2], message)
				assert.same(before, made:settings())
			end)
		end

		it("runs nothing of the caller's in the middle", function ()
			local made = server()
			local traps = setmetatable({}, { __index = function () made:close() end })
			assert(made:apply(traps))
			assert(made:settings())
			assert.is_false((pcall(context.new, traps)))
			assert(core.connection.new(made, traps))
		end)

		it("does not take errors that others left in OpenSSL's queue for its own", function ()
			pcall(ssl.loadcertificate, "no certificate")
			local _, message = server():apply { groups = { "one" } }
			assert.equal("nothing is left of groups; asked: one", message)
		end)

		it("counts the bits of finite fields in TLS 1.3, too", function ()
			local made = server()
			assert(made:apply { dh_bits = 3072, groups = { "ffdhe2048", "ffdhe3072" } })
			local one = assert(handshake.between(client { groups = { "ffdhe2048", "ffdhe3072" } }, made))
			assert.equal(3072, one:facts().group_bits)
		end)

		-- rfc4346.7.4.3.md5-and-sha1
		it("tells versions that a security level rules out in effect", function ()
			local made = server()
			assert(made:apply { minimum_version = "TLSv1", security_level = 0 })
			assert.equal("TLSv1", made:settings().minimum_version)
			local one, _, message = made:apply { maximum_version = "TLSv1.1", security_level = 2 }
			assert.is_nil(one)
			assert.is_nil(message and message:match "^tls$")
			assert(made:apply { security_level = 2 })
			assert.equal("TLSv1.2", made:settings().minimum_version)
		end)

		describe("that an exception opens", function ()
			local old_suites = { "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "TLS_DHE_RSA_WITH_AES_128_CBC_SHA" }
			local opened = {
				minimum_version = "TLSv1", ciphers = old_suites, groups = { "x25519" }, security_level = 2, dh_bits = 1024,
				insecure_versions = true, insecure_strength = true,
			}

			local function without(...)
				local some = {}
				for field, value in pairs(opened) do
					some[field] = value
				end
				for _, field in ipairs { ... } do
					some[field] = nil
				end
				return some
			end

			-- As a server makes it that allows all others TLS 1.2 and newer.
			local function strict()
				return assert(context.adopt(luasec { options = { "no_sslv3", "no_tlsv1", "no_tlsv1_1" },
					ciphers = "ECDHE+AESGCM:@SECLEVEL=2" }))
			end

			local function old_client(changes)
				local weak = { security_level = 0, minimum_version = "TLSv1", maximum_version = "TLSv1", ciphers = old_suites }
				for field, value in pairs(changes or {}) do
					weak[field] = value
				end
				return client(weak)
			end

			local function meet(near, adopted)
				return handshake.between(near, adopted, nil, { role = "server" })
			end

			for _, version in ipairs { "TLSv1", "TLSv1.1" } do
				it("negotiates " .. version .. ", and not after it is given back", function ()
					local made = strict()
					assert.is_nil((meet(old_client { maximum_version = version }, made)))
					assert(made:apply(opened))
					local in_force = made:settings()
					assert.same({ "TLSv1", 2, true },
						{ in_force.minimum_version, in_force.security_level, in_force.insecure_strength })
					local near = assert(meet(old_client { maximum_version = version }, made))
					assert.equal(version, near:facts().version)
					assert(made:release())
					assert.equal("TLSv1.2", made:settings().minimum_version)
					assert.is_nil(made:settings().insecure_strength)
					assert.is_nil((meet(old_client { maximum_version = version }, made)))
				end)
			end

			it("has neither if one of the two settings is missing", function ()
				for _, missing in ipairs { "insecure_versions", "insecure_strength" } do
					local made = strict()
					assert(made:apply(without(missing)))
					assert.equal("TLSv1.2", made:settings().minimum_version)
				end
			end)

			it("is as before if settings are refused", function ()
				local made = strict()
				assert(made:apply(without("insecure_strength", "insecure_versions", "minimum_version")))
				local before = made:settings()
				local wrong = without()
				wrong.groups = { "nothing" }
				assert.is_nil((made:apply(wrong)))
				assert.same(before, made:settings())
			end)

			it("accepts shorter Diffie-Hellman of a server, as far as its own limit goes", function ()
				local weak = assert(context.adopt(luasec { ciphers = "DHE+AES:@SECLEVEL=0", options = {},
					dhparam = function () return pki.run { "openssl", "dhparam", "-dsaparam", "1024" } end }))
				local function with(changes)
					local made = { maximum_version = "TLSv1.2", ciphers = { "TLS_DHE_RSA_WITH_AES_128_CBC_SHA" },
						groups = without_fields, security_level = 2 }
					for field, value in pairs(changes) do
						made[field] = value
					end
					return made
				end
				assert.is_nil((meet(client(with { dh_bits = 1024 }), weak)))
				assert.is_nil((meet(client(with { dh_bits = 1025, insecure_strength = true }), weak)))
				-- Without a limit of ours OpenSSL's level counts.
				assert.is_nil((meet(client(with { insecure_strength = true }), weak)))
				assert.truthy(meet(client(with { dh_bits = 1024, insecure_strength = true }), weak))
			end)

			it("uses the operator's DH parameters if they reach its own limit", function ()
				local weak = context.adopt(luasec { ciphers = "DHE+AES:@SECLEVEL=2", options = {},
					dhparam = function () return pki.run { "openssl", "dhparam", "-dsaparam", "1024" } end })
				for _, settings_and_bits in ipairs { { opened, 1024 }, { without "insecure_strength", nil } } do
					assert(weak:apply(settings_and_bits[1]))
					local near = meet(client { maximum_version = "TLSv1.2", security_level = 0,
						ciphers = { "TLS_DHE_RSA_WITH_AES_128_CBC_SHA" }, groups = without_fields }, weak)
					assert.equal(settings_and_bits[2], near and near:facts().group_bits)
				end
			end)

			it("holds certificates to the security level", function ()
				local short = authority:issue { names = { "example.test" }, key = "rsa1024" }
				local theirs = ssl.newcontext { mode = "server", protocol = "any", ciphers = "ALL:@SECLEVEL=0", options = {} }
				assert(require "ssl.context".loadcert(theirs, short.certificate))
				assert(require "ssl.context".loadkey(theirs, short.key, nil))
				local made = assert(context.new { role = "client", ca_file = authority.certificate })
				assert(made:apply { security_level = 2, insecure_strength = true, dh_bits = 1024 })
				local _, message = meet(made, assert(context.adopt(theirs)))
				assert.matches("certificate verify failed", message)
				assert(made:apply { security_level = 0 })
				assert.truthy(meet(made, assert(context.adopt(theirs))))
			end)
		end)

		it("refuses a level above the signature of its own certificate", function ()
			local weak = authority:issue { names = { "example.test" }, key = "rsa2048", digest = "sha1" }
			-- OpenSSL would not load it at the usual level.
			local theirs = ssl.newcontext { mode = "server", protocol = "any", ciphers = "ALL:@SECLEVEL=0",
				options = {} }
			assert(require "ssl.context".loadcert(theirs, weak.certificate))
			assert(require "ssl.context".loadkey(theirs, weak.key, nil))
			local ours = context.adopt(theirs)
			local result, message, code = ours:apply { security_level = 2 }
			assert.is_nil(result)
			assert.equal("a certificate's signature is too weak for security level 2", message)
			assert.equal("weak", code)
			assert(ours:apply { security_level = 0 })
		end)

		it("accepts no handshake while it is disabled", function ()
			local made = server()
			assert.is_true(made:disable())
			assert.is_nil(made:settings().minimum_version)
			local one, _, message = handshake.between(client(), made)
			assert.is_nil(one)
			assert.matches("^the handshake failed", message)
			assert(made:release())
			assert.truthy(handshake.between(client(), made))
		end)

		it("refuses weaker ephemeral DH of a server when it is a client", function ()
			local weak = server()
			assert(weak:apply { maximum_version = "TLSv1.2", ciphers = { "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" },
				dh_bits = 2048 })
			assert.truthy(handshake.between(client { dh_bits = 2048, groups = without_fields }, weak))
			local one, message = handshake.between(client { dh_bits = 3072, groups = without_fields }, weak)
			assert.is_nil(one)
			assert.equal("the handshake failed (dh key too small)", message)
		end)

		it("outlives its release in the connections that it made", function ()
			local made = server()
			assert(made:apply(settings))
			local one, other = handshake.between(client(), made)
			assert(made:release())
			made:close()
			collectgarbage()
			assert(other:write "still here")
			assert(one:feed(other:take()))
			assert.equal("still here", one:read())
		end)
	end)
end)
