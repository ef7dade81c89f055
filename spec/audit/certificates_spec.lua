-- The certificates of a real server, as the audit's probe sees them: each observation true on one host and false on
-- another.
local audited = require "support.audited"
local certificate = require "xmpp_tls_policy.audit.probes.certificate"
local certificates = require "xmpp_tls_policy.audit.certificates"
local core = require "xmpp_tls_policy.core"
local expected = require "xmpp_tls_policy.audit.expected"
local pki = require "support.pki"
local prosody = require "support.prosody"
local tasks = require "xmpp_tls_policy.audit.tasks"

local names = { "trusted", "complete", "ordered", "domain", "signature", "usages", "days_left", "expected", "tlsa" }

describe("the certificates of a real server", function ()
	local server, root, middle, keys

	local function issue(domain, options)
		local all = { names = { domain }, key = "rsa2048", days = 90 }
		for name, value in pairs(options or {}) do
			all[name] = value
		end
		return middle:issue(all)
	end

	-- The same with other certificates behind it.
	local function followed_by(files, ...)
		files.certificate = pki.write(table.concat { pki.read(files.own), ... })
		return files
	end

	-- Host -> observations that are false, and its certificate.
	local hosts = {
		["good.test"] = { {}, function (domain) return issue(domain) end },
		["alone.test"] = { { "trusted", "complete" }, function (domain) return followed_by(issue(domain)) end },
		["disordered.test"] = { { "ordered" }, function (domain)
			return followed_by(issue(domain), root.pem, pki.read(middle.own))
		end },
		["own.test"] = { { "trusted", "expected", "tlsa" }, function (domain)
			return pki.self_signed { names = { domain }, key = "rsa2048", key_name = "own" }
		end },
		["expired.test"] = { { "trusted", "days_left" }, function (domain) return issue(domain, { expired = true }) end },
		["other.test"] = { { "domain" }, function () return issue "x.test" end },
		["client.test"] = { { "trusted", "usages" }, function (domain)
			return issue(domain, { extended_key_usages = { "clientAuth" } })
		end },
		["renewed.test"] = { { "expected", "tlsa" }, function (domain) return issue(domain, { key_name = "new" }) end },
	}

	setup(function ()
		root = pki.authority { days = 1000 }
		middle = root:intermediate { days = 1000 }
		local shown = {}
		for domain, case in pairs(hosts) do
			shown[domain] = case[2](domain)
		end
		server = prosody.start { hosts = shown, domain = "good.test" }
		local read = assert(core.certificate.from_pem(shown["good.test"].pem))
		keys = { digest = read:facts().spki_sha256, record = {
			usage = 3, selector = 1, matching_type = 1, data = core.digest("SHA256", read:spki()), dnssec = "secure",
		} }
	end)

	teardown(function ()
		if server then
			server:stop()
		end
		pki.remove()
	end)

	for domain, case in pairs(hosts) do
		it(("cert.identity: are seen at %s, for clients and servers"):format(domain), function ()
			local wrong = {}
			for _, name in ipairs(case[1]) do
				wrong[name] = true
			end
			for _, service in ipairs { "c2s", "s2s" } do
				local point = audited.endpoint(server, service, domain)
				point.trust = assert(certificates.authorities(root.certificate))
				point.expected = assert(expected.new({ keys.digest }, {}))
				point.host_dnssec, point.tlsa = "secure", { keys.record }
				local observed = {}
				tasks.run(function ()
					certificate.run(point, observed)
				end)
				for _, name in ipairs(names) do
					assert.equal(not wrong[name], observed["certificate." .. name].seen, name)
				end
				assert.same({ type = "RSA", bits = 2048 }, observed["certificate.key"].value)
				assert.equal(64, #point.certificate.sha256)
			end
		end)
	end
end)
