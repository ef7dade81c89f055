-- What specs need of a server, and what each kind of server declares missing.
local contract = require "xmpp_tls_policy.servers.contract"
local files = require "support.files"
local lfs = require "lfs"
local metronome = require "support.servers.metronome"
local prosody = require "support.prosody"
local surface = require "support.surface"

-- Part -> true: those that the specs of servers ask for.
local function asked_for()
	local found = {}
	for name in lfs.dir "spec/server" do
		if name:find "_spec%.lua$" then
			local text = assert(files.read("spec/server/" .. name))
			for part in text:gmatch 'prosody%.surface%.%l+[( ]*"([^"]+)"' do
				found[part] = true
			end
		end
	end
	return found
end

describe("the surface of a server", function ()
	it("has each part that a spec asks for, and no other", function ()
		local asked = asked_for()
		assert.is_true(asked["peers.gone"])
		for part in pairs(asked) do
			assert.is_truthy(surface.parts[part] or contract.parts[part], part)
		end
		for part in pairs(surface.parts) do
			assert.is_true(asked[part], part)
			assert.is_nil(contract.parts[part])
		end
	end)

	it("lacks on Prosody nothing, and on Metronome what its harness says beside the adapter", function ()
		assert.same({}, prosody.surface.lacks)
		for part, reason in pairs(metronome.surface.lacks) do
			assert.is_string(surface.parts[part], part)
			assert.equal(reason, metronome.surface.reason(part))
		end
		for part in pairs(contract.parts) do
			assert.equal(require "xmpp_tls_policy.servers.metronome.lacks"[part], metronome.surface.reason(part))
		end
	end)

	it("leaves out a spec that needs what is missing, says why, and counts it", function ()
		local own = surface.new({ ["peers.gone"] = "why" }, { ["option.c2s_ssl"] = "why not" })
		local said = {}
		local function pending(text)
			said[#said + 1] = text
		end
		for _, part in ipairs { "peers.gone", "option.c2s_ssl", "roles", "peers.gone" } do
			own.need(part, pending)
		end
		assert.same({ "peers.gone: why", "option.c2s_ssl: why not", "peers.gone: why" }, said)
		assert.same({ ["peers.gone"] = 2, ["option.c2s_ssl"] = 1 }, own.left_out)
	end)

	it("knows no other part", function ()
		assert.has_error(function ()
			prosody.surface.reason "peers.goen"
		end, "peers.goen")
	end)
end)
