-- The certificate of another server, for which a module of the operator vouches after a while. What that
-- server sends behind its header waits for the answer. Crossed here: the host, whether it demands
-- that a certificate vouches, who vouches, and how header and features are packed.
local assert_sound = require "support.assert_sound"
local pki = require "support.pki"
local server_pairs = require "support.server_pairs"

local hosts = server_pairs.hosts()

-- Who vouches for a server -> the beginning of its domain, and whether its certificate is of a known authority.
local vouchers = {
	["an authority"] = { name = "known", is_trusted = true },
	["a module"] = { name = "vouched" },
	nobody = { name = "unknown" },
}

local features = "<stream:features><dialback xmlns='urn:xmpp:features:dialback'/><mechanisms "
	.. "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms></stream:features>"

if _VERSION == "Lua 5.1" and not rawget(_G, "jit") then
	return -- Nothing can yield in an event there.
end

describe("a certificate that is checked while its server's features have come already", function ()
	local world, stranger

	setup(function ()
		world = server_pairs.start(hosts, { "test_check_later" })
		stranger = pki.authority():issue { names = { "*.out.test" }, key = "rsa2048" }
	end)

	teardown(function ()
		if world then
			world:stop()
		end
	end)

	-- The answer to the features: what near sends then.
	local function answer_to(host, voucher, is_together)
		local domain, mark = ("%s%d.out.test"):format(voucher.name, world:number()), world.near:mark()
		world:send_from(host.name, domain)
		local peer = world:accept()
		server_pairs.secure(peer, voucher.is_trusted and world.scripted.out or stranger)
		if is_together then
			server_pairs.answer(peer, features)
		else
			server_pairs.answer(peer, "")
			world.near:wait_for_log("Checked the certificate of " .. domain, mark)
			peer:send(features)
		end
		local text = peer:read_until { "<auth.->", "<db:result.->", "</stream:stream>" }
		peer:close()
		return text
	end

	local function is_admitted(host, voucher)
		return not (host.level and host.refuses) or voucher.name ~= "unknown"
	end

	for who, voucher in pairs(vouchers) do
		for _, is_together in ipairs { true, false } do
			local packets = is_together and "in one packet" or "in two"
			it(("counts once it is known who vouches for it: %s, %s"):format(who, packets), function ()
				for _, host in ipairs(hosts) do
					local text = answer_to(host, voucher, is_together)
					assert.equal(is_admitted(host, voucher), not text:find("<stream:error>", 1, true),
						("%s: %s"):format(host.name, text))
				end
			end)
		end
	end

	it("leaves no trace in the log but its refusals", function ()
		assert_sound(world.near)
	end)
end)
