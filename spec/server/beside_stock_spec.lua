-- What a server with the module negotiates beside one without it, of the same configuration: nothing
-- more, except what the policy's documents recommend.
local client = require "support.client"
local pki = require "support.pki"
local prosody = require "support.prosody"

-- The server's own presets; nil: its default.
local presets = { ["its default"] = false, ["modern"] = "modern", ["old"] = "old", ["legacy"] = "legacy" }

-- Arguments of openssl s_client that offer one thing alone, at any strength.
local function suite(name)
	return { "-tls1_2", "-cipher", name .. ":@SECLEVEL=0" }
end

local offers = {
	["RSA key transport with CBC"] = suite "AES128-SHA", ["RSA key transport with GCM"] = suite "AES256-GCM-SHA384",
	["ECDHE with CBC"] = suite "ECDHE-RSA-AES128-SHA", ["ECDHE with CBC and SHA-384"] = suite "ECDHE-RSA-AES256-SHA384",
	["DHE with CBC"] = suite "DHE-RSA-AES128-SHA", ["Camellia"] = suite "ECDHE-RSA-CAMELLIA128-SHA256",
	["an anonymous suite"] = suite "AECDH-AES128-SHA", ["ECDHE with GCM"] = suite "ECDHE-RSA-AES128-GCM-SHA256",
	["DHE with ChaCha20"] = suite "DHE-RSA-CHACHA20-POLY1305",
	["TLS 1.0"] = { "-tls1", "-cipher", "ALL:@SECLEVEL=0" }, ["TLS 1.1"] = { "-tls1_1", "-cipher", "ALL:@SECLEVEL=0" },
	["TLS 1.2"] = { "-tls1_2" }, ["TLS 1.3"] = { "-tls1_3" },
	["AES-128-CCM in TLS 1.3"] = { "-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256" },
}
for _, version in ipairs { "tls1_2", "tls1_3" } do
	for _, group in ipairs { "X25519", "X448", "P-256", "P-384", "P-521" } do
		offers[("%s in %s"):format(group, version)] = { "-" .. version, "-groups", group, "-cipher", "ECDHE+AESGCM" }
	end
end

-- These are permitted by each policy.
local permitted = { "ECDHE with GCM", "TLS 1.2", "TLS 1.3", "X25519 in tls1_2", "X25519 in tls1_3", "P-256 in tls1_3",
	"P-384 in tls1_2" }

describe("beside a stock server", function ()
	local authority, files

	setup(function ()
		authority = pki.authority()
		files = authority:issue { names = { "example.test" }, key = "rsa2048" }
	end)

	teardown(pki.remove)

	-- Offer -> whether the server negotiates it.
	local function negotiated(preset, policy)
		local server = prosody.start {
			hosts = { ["example.test"] = files }, ca = authority.certificate, policy = policy, with_policy = policy ~= nil,
			options = { tls_profile = preset or nil },
		}
		local found = {}
		for name, arguments in pairs(offers) do
			found[name] = client.openssl(server:target "c2s", { arguments = arguments }).ok
		end
		server:stop()
		return found
	end

	for name, preset in pairs(presets) do
		local stock

		for _, policy in ipairs { { level = "must" }, { profile = "rfc9325", level = "must" } } do
			it(("with %s, a server under %s, level must, negotiates nothing more"):format(name,
				policy.profile or "the draft"), function ()
				stock = stock or negotiated(preset)
				local ours = negotiated(preset, policy)
				for offer in pairs(offers) do
					assert.is_true(stock[offer] or not ours[offer], offer .. " is refused by stock")
				end
				for _, offer in ipairs(permitted) do
					assert.equal(stock[offer], ours[offer], offer)
				end
				assert.is_true(ours["TLS 1.3"])
				assert.is_false(ours["Camellia"]) -- by the policy
			end)
		end
	end
end)
