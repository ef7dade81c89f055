--- The exception groups = "classical", for a peer behind a middlebox that takes no long ClientHello.
local client_hello = require "support.client_hello"
local date = require "xmpp_tls_policy.date"
local federation = require "support.federation"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local versions = require "support.versions"
local xmpp = require "support.xmpp"

local has_hybrid = versions.has_group "X25519MLKEM768"

describe('an exception with groups = "classical"', function ()
	local server

	setup(function ()
		local authority = pki.authority()
		server = prosody.start {
			hosts = { ["near.test"] = authority:issue { names = { "near.test" }, key = "rsa2048" } },
			ca = authority.certificate, routes = {}, with_policy = true,
		}
	end)

	teardown(function ()
		if server then
			server:stop()
		end
		pki.remove()
	end)

	local function policy_for(is_excepted, domain)
		return is_excepted and { exceptions = { [domain or "far.test"] = {
			groups = "classical", expires = date.of(os.time() + 100 * date.DAY), reason = "a firewall",
		} } } or {}
	end

	-- The server connects to a peer, which gets its ClientHello. Returns the hello, parsed, its bytes, the peer and
	-- a function that ends all.
	local function meet(domain, policy, service)
		local listener = xmpp.listen "s2s"
		server:configure { policy = policy, routes = { [domain] = { [service or "s2s"] = listener.port } } }
		local log = server:reload()
		local ping = server:begin_shell(("xmpp:ping(%q, %q)"):format("near.test", domain))
		local peer = assert(listener:accept())
		if not service then
			assert(peer:answer(xmpp.starttls_required_feature))
			assert(peer:proceed())
		end
		peer.timeout = process.PATIENCE
		local bytes = ""
		repeat
			bytes = bytes .. assert(peer:receive(require "socket".gettime() + process.PATIENCE))
		until #bytes >= 5 and #bytes >= 5 + bytes:byte(4) * 256 + bytes:byte(5)
		return client_hello.parse(bytes), bytes, peer, function ()
			listener:close()
			ping:close()
		end, log
	end

	local ends = {
		["closes the connection"] = function (peer)
			peer:close()
		end,
		["resets the connection"] = function (peer)
			assert(peer.socket:setoption("linger", { on = true, timeout = 0 }))
			peer:close()
		end,
		["lets nothing through"] = function (peer, domain)
			server:shell(("s2s:close(%q, %q)"):format("near.test", domain))
			peer:close()
		end,
	}
	local number = 0

	-- The failed handshakes with a domain.
	local function failed(domain)
		local found = {}
		for _, entry in ipairs(federation.refused(server, "near.test")) do
			found[#found + 1] = entry.domain == domain and entry or nil
		end
		return found
	end

	for what, end_it in pairs(ends) do
		for _, is_excepted in ipairs { false, true } do
			local is_named = has_hybrid and not is_excepted
			number = number + 1
			local domain = ("far%d.test"):format(number)
			it(("is %s where the other end %s%s"):format(is_named and "named" or "not named", what,
				is_excepted and ", and it has the exception" or ""), function ()
				local mark = server:mark()
				local _, bytes, peer, finish = meet(domain, policy_for(is_excepted, domain))
				end_it(peer, domain)
				local list
				process.poll(process.PATIENCE, function ()
					list = failed(domain)
					return list[1]
				end)
				finish()
				assert.equal(1, #list)
				assert.equal("s2sout", list[1].role)
				assert.equal(is_named and #bytes or nil, tonumber(list[1].text:match "ClientHello of (%d+) bytes"), list[1].text)
				local advice = 'an exception with groups = "classical" helps'
				assert.equal(is_named, list[1].text:find(advice, 1, true) ~= nil)
				-- The log has a line a minute for each address.
				local line = server:log(mark):match "TLS handshake failed: [^\n]*"
				assert.is_true(line ~= nil or domain ~= "far1.test")
				assert.equal(line and is_named, line and line:find(advice, 1, true) ~= nil)
			end)
		end
	end

	-- far.test is excepted or not, over STARTTLS or direct TLS, beside another domain.
	for _, domain in ipairs { "far.test", "other.test" } do
		for _, is_excepted in ipairs { true, false } do
			for _, service in ipairs { "s2s", "s2s_direct_tls" } do
				local classical = is_excepted and domain == "far.test" or not has_hybrid
				it(("%s, %s, on %s: the ClientHello has %s hybrid share"):format(domain,
					is_excepted and "far.test excepted" or "no exception", service, classical and "no" or "a"), function ()
					local hello, bytes, peer, finish = meet(domain, policy_for(is_excepted),
						service ~= "s2s" and service or nil)
					peer:close()
					finish()
					assert.same(classical and { "x25519" } or { "X25519MLKEM768", "x25519" }, hello.key_shares)
					local offered = " " .. table.concat(hello.groups, " "):lower()
					assert.equal(not classical, offered:find("mlkem", 1, true) ~= nil, offered)
					assert.equal(not classical, #bytes > 1216)
				end)
			end
		end
	end

	it("has no effect where OpenSSL has no hybrid group, and the log says so", function ()
		local _, _, peer, finish, log = meet("far.test", policy_for(true))
		peer:close()
		finish()
		assert.equal(not has_hybrid, log:find('far.test ("a firewall") has no effect: no hybrid group is offered', 1, true)
			~= nil)
	end)
end)
