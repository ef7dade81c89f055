-- Renewals and changes of certificates, one property at a time; memory_spec.lua has stories.
local change = require "xmpp_tls_policy.certificates.change"
local date = require "xmpp_tls_policy.date"

local NOW = 1767225600 -- 2026-01-01

-- A verified certificate of 90 days, of which `left` are left.
local function entry(key, left, changes)
	local made = {
		sha256 = ("%064x"):format(key * 1000 + left), spki_sha256 = ("%064x"):format(key), verified = true,
		issuer = "CN=R12,O=Authority", subject = "CN=far.example",
		not_before = NOW + (left - 90) * date.DAY, not_after = NOW + left * date.DAY,
		first_seen = NOW, last_seen = NOW, times_seen = 1, directions = { ["in"] = true },
	}
	for field, value in pairs(changes or {}) do
		made[field] = value
	end
	return made
end

describe("a new certificate", function ()
	for _, case in ipairs {
		-- the old one, the new one, kind, severity, reason
		{ entry(1, 60), entry(1, 90), "renewal", "info", "has a new certificate for the same key" },
		{ entry(1, 60), entry(1, 90, { verified = false }), "change", "warn",
			"has a new certificate for the same key: it is not verified, and the old one was" },
		{ entry(1, 29), entry(2, 90), "renewal", "info", "has renewed its certificate, with a new key" },
		{ entry(1, 31), entry(2, 90), "change", "warn",
			"has changed its certificate and key ahead of time: the old certificate is valid for another 31 days" },
		{ entry(1, 29), entry(2, 90, { issuer = "CN=R13,O=Authority" }), "renewal", "info",
			"has renewed its certificate, with a new key" },
		{ entry(1, 29), entry(2, 90, { issuer = "CN=R12,O=Another" }), "change", "warn",
			'has changed its certificate and key: the issuer is "CN=R12,O=Another"; it was "CN=R12,O=Authority"' },
		{ entry(1, 29), entry(2, 90, { issuer = "CN=far.example" }), "change", "warn",
			'has changed its certificate and key: the issuer is "CN=far.example"; it was "CN=R12,O=Authority"' },
		{ entry(1, 29), entry(2, 90, { verified = false }), "change", "warn",
			"has changed its certificate and key: the new one is not verified, and the old one was" },
		{ entry(1, 29, { verified = false }), entry(2, 90, { verified = false }), "change", "warn",
			"has changed its certificate and key, and neither certificate is verified" },
		{ entry(1, 60, { verified = false }), entry(2, 90), "verified", "info",
			"has a new certificate that is verified; the old one was not" },
		{ entry(1, -10), entry(2, 90), "renewal", "info", "has renewed its certificate, with a new key" },
	} do
		it("is judged: " .. case[5], function ()
			local verdict = change.judge({ case[1] }, case[2], NOW)
			assert.same({ kind = case[3], severity = case[4], old = case[1], reason = case[5] }, verdict)
		end)
	end

	it("may have an end that is not known", function ()
		local old = entry(1, 10)
		old.not_after = nil
		assert.equal("has changed its certificate and key ahead of time: the end of the old certificate is not known",
			change.judge({ old }, entry(2, 90), NOW).reason)
	end)

	it("takes the place of one certificate of a cluster, and of each only once", function ()
		local due, fresh = entry(1, 10), entry(2, 80)
		assert.equal(due, change.judge({ due, fresh }, entry(3, 90), NOW).old)
		due.replaced = true
		assert.equal("change", change.judge({ due, fresh }, entry(3, 90), NOW).kind)
	end)
end)
