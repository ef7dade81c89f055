-- The command `status` on a server: policies, contexts, overridden settings, exceptions.
local core = require "xmpp_tls_policy.core"
local date = require "xmpp_tls_policy.date"
local files = require "support.files"
local json = require "dkjson"
local pki = require "support.pki"
local prosody = require "support.prosody"
local versions = require "support.versions"
local xmpp = require "support.xmpp"

local DAY = 86400

describe("the status in the shell", function ()
	local server, certificate
	local last_day = date.of(os.time() + 9 * DAY)

	setup(function ()
		local authority = pki.authority()
		certificate = authority:issue {
			names = { "near.test", "strict.test", "watched.test", "none.test" }, key = "rsa2048",
			not_after = os.time() + 30 * DAY + 3600,
		}
		local function host(options)
			return { certificate = certificate.certificate, key = certificate.key, options = options }
		end
		server = prosody.start {
			hosts = {
				["near.test"] = host(),
				["strict.test"] = host { xmpp_tls_policy = { profile = "rfc9325" }, s2s_require_encryption = false },
				["watched.test"] = host { xmpp_tls_policy = { mode = "report" }, c2s_require_encryption = false },
				["none.test"] = host { c2s_ssl = { protocol = "tlsv1", ciphers = "ALL:@SECLEVEL=0" } },
				["idle.test"] = host(),
			},
			domain = "near.test", ca = authority.certificate, with_policy = true,
			policy = {
				unauthenticated_s2s = "refuse",
				exceptions = {
					["old.test"] = { level = "must", expires = last_day, reason = "being replaced" },
					["gone.test"] = { level = "must", expires = date.of(os.time() - 2 * DAY), reason = "\27[2Jwas" },
				},
			},
			options = {
				allow_unencrypted_plain_auth = true, s2s_secure_auth = false, s2s_insecure_domains = { "a.test" },
				s2s_ssl = { protocol = "sslv3+", ciphers = "ALL:@SECLEVEL=0", curveslist = { "X25519", "secp256k1" } },
			},
		}
		for _, domain in ipairs { "near.test", "strict.test", "watched.test", "none.test" } do
			for _, service in ipairs { "c2s", "s2s" } do
				local peer = xmpp.open(server:target(service, domain), { from = service == "s2s" and "far.test" or nil,
					tls = { certificate = certificate.certificate, key = certificate.key } })
				if peer then
					peer:close()
				end
			end
		end
	end)

	teardown(function ()
		if server then
			server:stop()
		end
		pki.remove()
	end)

	local function shell(command)
		local output, status = server:shell(command)
		assert.equal(0, status, output)
		return output
	end

	local function status()
		return assert(json.decode((shell [[tlspolicy:status("json")]]:gsub("OK: [^\n]*%s*$", ""))))
	end

	local function find(list, wanted)
		for _, item in ipairs(list) do
			local same = true
			for name, value in pairs(wanted) do
				same = same and item[name] == value
			end
			if same then
				return item
			end
		end
		error("not found: " .. json.encode(wanted))
	end

	it("names the policy of each host", function ()
		local found = {}
		for _, row in ipairs(status().policies) do
			found[row.host] = { row.policy, row.mode, row.unauthenticated_s2s }
		end
		local usual = { "draft-saintandre-xmpp-tls-02, level should", "enforce", "refuse" }
		assert.same({
			["*"] = usual, ["near.test"] = usual, ["none.test"] = usual, ["idle.test"] = usual,
			["strict.test"] = { "rfc9325, level should", "enforce", "refuse" },
			["watched.test"] = { "draft-saintandre-xmpp-tls-02, level should", "report", "refuse" },
		}, found)
	end)

	it("shows the settings of each context, read back from OpenSSL", function ()
		prosody.surface.need("groups.list", pending)
		local contexts = status().contexts
		local row = find(contexts, { host = "near.test", role = "c2s", service = "STARTTLS" })
		assert.same({ "TLSv1.2", "TLSv1.3", 2048, true, 30 },
			{ row.lowest, row.highest, row.dh_bits, row.resumption, row.certificate_days_left })
		assert.equal(core.certificate.from_pem(files.read(certificate.certificate)):facts().not_after, row.certificate_ends)
		assert.equal(versions.has_group "X25519MLKEM768" and "X25519MLKEM768" or "x25519", row.groups[1])
		-- The suites that a client can negotiate; their number depends on this OpenSSL.
		assert.is_true(row.suites >= 8 and row.suites <= 20, row.suites)
		assert.same({ "x25519" }, find(contexts, { host = "near.test", role = "s2sin", service = "STARTTLS" }).groups)
		assert.is_truthy(find(contexts, { role = "c2s", service = "c2s_direct_tls", host = "strict.test" }))
		local watched = find(contexts, { host = "watched.test", role = "s2sin", service = "STARTTLS" })
		assert.same({ "TLSv1", "report", false }, { watched.lowest, watched.mode, watched.resumption })
	end)

	it("shows contexts that could not be brought under the policy", function ()
		prosody.surface.need("option.c2s_ssl", pending)
		local row = find(status().contexts, { host = "none.test", role = "c2s", service = "STARTTLS" })
		assert.matches("no TLS version is left", row.failure)
		assert.is_nil(row.lowest)
		assert.matches("\nNo TLS: none.test, c2s %(STARTTLS%): no TLS version is left", shell "tlspolicy:status()")
	end)

	it("shows hosts that were not used yet", function ()
		assert.same({ "idle.test" }, status().unused)
	end)

	it("shows options of the configuration that have no effect", function ()
		prosody.surface.need("option.c2s_ssl", pending)
		local overridden = status().overridden
		local function hosts_of(message)
			return table.concat(find(overridden, { message = message }).hosts, " ")
		end
		assert.equal("strict.test", hosts_of "s2s_require_encryption = false has no effect: the policy requires TLS")
		assert.equal("* idle.test near.test none.test strict.test",
			hosts_of "allow_unencrypted_plain_auth has no effect: the policy requires TLS before authentication")
		assert.equal("* idle.test near.test none.test strict.test", hosts_of('s2s_secure_auth = false has no effect: '
			.. 'unauthenticated_s2s = "refuse" of the policy is stricter'))
		assert.is_truthy(hosts_of('s2s_insecure_domains has no effect: unauthenticated_s2s = "refuse"; '
			.. "an exception is needed"))
		for _, message in ipairs {
			"ssl allows TLS 1.0; the lowest version in force is TLS 1.2", "of the groups in ssl, 1 are not allowed: secp256k1",
			"ssl has OpenSSL's security level 0; 2 is in force",
		} do
			local row = find(overridden, { message = message })
			assert.same({ { "near.test", "none.test", "strict.test" }, { "s2sin" } }, { row.hosts, row.roles }, message)
		end
		local output = shell "tlspolicy:status()"
		assert.matches("\nOverridden: near.test, none.test, strict.test %(s2sin%): of the groups in ssl, 1 are not allowed",
			output)
		assert.matches("of the cipher suites of TLS 1.2 and older in ssl, %d+ are not allowed: TLS_", output)
	end)

	it("shows exceptions with their last days, and warns of them", function ()
		local found = status()
		local old = find(found.exceptions, { domain = "old.test" })
		assert.same({ "must", last_day, false, "being replaced" },
			{ old.level, old.expires, old.ended, old.reason })
		assert.is_true(old.days_left == 9 or old.days_left == 8, old.days_left)
		assert.is_true(find(found.exceptions, { domain = "gone.test" }).ended)
		assert.same({ "ended", "ending" },
			{ find(found.warnings, { domain = "gone.test" }).kind, find(found.warnings, { domain = "old.test" }).kind })
		local output = shell [[tlspolicy:status("width=80")]]
		assert.is_nil(output:find "\27")
		assert.matches("\nWarning: all other hosts, idle.test, near.test, none.test, strict.test, watched.test: the "
			.. "exception for gone.test [^\n]* ended with", output)
		for line in output:gmatch "[^\n]+" do
			if not line:find "^Overridden" and not line:find "^Warning" and not line:find "^No TLS"
				and not line:find "^No STARTTLS" then
				assert.is_true(select(2, line:gsub("[^\128-\191]", "")) <= 80, line)
			end
		end
	end)

	it("shows one host alone", function ()
		local found = assert(json.decode((shell [[tlspolicy:status("near.test", "json")]]:gsub("OK: [^\n]*%s*$", ""))))
		assert.equal(1, #found.policies)
		for _, row in ipairs(found.contexts) do
			assert.is_true(row.host == nil or row.host == "near.test")
		end
		local output, exit_status = server:shell [[tlspolicy:status("nowhere.test")]]
		assert.equal(1, exit_status)
		assert.is_truthy(output:find('"nowhere.test" is no host of this server', 1, true), output)
	end)

	it("shows the certificate that is served now, also while streams hold the one of before", function ()
		local renewed = pki.authority():issue {
			names = { "near.test" }, key = "rsa2048", not_after = os.time() + 60 * DAY + 3600,
		}
		local open = assert(xmpp.open(server:target("c2s", "near.test")))
		server:renew("near.test", renewed)
		server:reload()
		local function rows(serves)
			local days = {}
			for _, row in ipairs(status().contexts) do
				if row.host == "near.test" and row.service == "STARTTLS" and row.serves == serves then
					days[row.role] = row.certificate_days_left
				end
			end
			return days
		end
		local function served()
			return (server:shell [[tlspolicy:cert("near.test")]]):match "Valid +%S+ to %S+ %((%d+) days left%)"
		end
		local function metric()
			for line in (server:shell [[tlspolicy:stats("json")]]):gmatch "{[^\n]*}" do
				local item = json.decode(line)
				if item.metric == "certificate_not_after_timestamp_seconds" and item.labels.host == "near.test"
					and item.labels.service == "c2s" then
					return item.value
				end
			end
		end
		local ends = core.certificate.from_pem(files.read(renewed.certificate)):facts().not_after
		-- Before the first stream on the new context, and after it.
		for _ = 1, 2 do
			assert.same({ 60, 30 }, { rows "new".c2s, rows "old".c2s })
			assert.equal("60", served())
			assert.equal(ends, metric())
			assert(xmpp.open(server:target("c2s", "near.test"))):close()
		end
		open:close()
	end)
end)
