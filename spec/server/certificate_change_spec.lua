-- admin.change: a server remembers the certificates of other servers, and reacts when one
-- changes. Two real servers; the spec replaces the certificate of one of them.

local files = require "support.files"
local json = require "dkjson"
local pki = require "support.pki"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

local DAY = 86400

describe("admin.change: the certificate of another server", function ()
	local authority, other_authority, near, far
	local servers = prosody.group()

	local function start(policy, fields)
		local both = authority.certificate .. ".both"
		files.write(both, files.read(authority.certificate) .. files.read(other_authority.certificate))
		local spec = {
			hosts = { ["near.test"] = authority:issue { names = { "near.test" }, key = "p256" } },
			ca = both, with_policy = true, policy = policy, routes = {}, modules = { "test_clock", "test_change" },
			users = { ["admin@near.test"] = "secret" }, options = { admins = { "admin@near.test" } },
		}
		for name, value in pairs(fields or {}) do
			spec[name] = value
		end
		near = servers.start(spec)
	end

	-- The other server, with a certificate.
	local function show(certificate)
		if far then
			far:renew("far.test", certificate)
			far:reload()
		else
			far = servers.start {
				hosts = { ["far.test"] = certificate }, ca = authority.certificate,
				routes = { ["near.test"] = { s2s = near.ports.s2s } },
			}
			near:configure { routes = { ["far.test"] = { s2s = far.ports.s2s } } }
			near:reload()
		end
	end

	local function ping()
		near:shell [[s2s:close("near.test", "far.test")]]
		local mark = near:mark()
		local answer = near:shell [[xmpp:ping("near.test", "far.test", 20)]]
		return answer:lower():find("pong", 1, true) ~= nil, near:log(mark), answer
	end

	local function peers(domain)
		local output, status = near:shell(("tlspolicy:peers(%q, \"json\")"):format(domain or ""))
		assert.equal(0, status, output)
		local list = {}
		for line in output:gmatch "{[^\n]*}" do
			list[#list + 1] = json.decode(line)
		end
		return list
	end

	setup(function ()
		authority, other_authority = pki.authority(), pki.authority()
	end)

	after_each(function ()
		far = nil
		servers.stop()
	end)

	teardown(pki.remove)

	-- Each with a key of its own, unless it is named.
	local keys = 0
	local function issue(changes)
		keys = keys + 1
		local options = { names = { "far.test" }, key = "p256", key_name = "far " .. keys, days = 300 }
		for name, value in pairs(changes or {}) do
			options[name] = value
		end
		local by = options.by or authority
		options.by = nil
		return by:issue(options)
	end

	it("is remembered with both directions", function ()
		start {}
		show(issue())
		assert.is_true((ping()))
		assert.matches("pong", far:shell([[xmpp:ping("far.test", "near.test", 20)]]):lower())
		local found = peers "far.test"
		assert.equal(1, #found)
		assert.same({ "near.test", "far.test", true, false, { "in", "out" } },
			{ found[1].host, found[1].domain, found[1].verified, found[1].pending, found[1].directions })
		assert.matches("^%x+$", found[1].sha256)
		assert.is_nil(near:log():match "The certificate of far.test")
		assert.same(found, peers())
		local output = near:shell [[tlspolicy:peers()]]
		assert.matches("\nfar.test +near.test +in/out +yes +[%d-]+ +[%d-]+ +[%d-]+", "\n" .. output)
	end)

	it("causes a log line and no warning if it is renewed with the same key", function ()
		start {}
		show(issue { key_name = "kept" })
		ping()
		show(issue { key_name = "kept" })
		local reached, log = ping()
		assert.is_true(reached)
		assert.matches("info\tThe certificate of far.test: ", log)
		assert.is_nil(log:match "warn\tThe certificate")
	end)

	it("causes a log line and no warning if it is renewed with a new key shortly before its end", function ()
		start {}
		show(issue { not_before = os.time() - 80 * DAY, not_after = os.time() + 10 * DAY })
		ping()
		show(issue())
		local _, log = ping()
		assert.matches("info\tThe certificate of far.test: ", log)
		assert.is_nil(log:match "warn\tThe certificate")
	end)

	local changes = {
		["a new key long before the end"] = function () return issue() end,
		["another issuer"] = function () return issue { by = other_authority } end,
		["its own signature"] = function ()
			return pki.self_signed { names = { "far.test" }, key = "p256", key_name = "alone" }
		end,
	}
	for what, make in pairs(changes) do
		it("causes one warning that shows both certificates if it changes to one with " .. what, function ()
			start {}
			show(issue())
			ping()
			local before = peers("far.test")[1]
			show(make())
			local reached, log = ping()
			assert.is_true(reached)
			assert.equal(1, select(2, log:gsub("warn\tThe certificate of far.test: ", "")))
			local after
			for _, entry in ipairs(peers "far.test") do
				after = entry.sha256 ~= before.sha256 and entry or after
			end
			assert.matches(("warn\tSHA%%-256: %s %%(before: %s%%)"):format(after.sha256, before.sha256), log)
			assert.matches("warn\tissuer: [^\n]*%(before: ", log)
			assert.matches("test_change\tinfo\tChanged: far.test", log)
			log = select(2, ping())
			assert.is_nil(log:match "The certificate of far.test")
		end)
	end

	it("is reported to administrators after a change, with notify_admins", function ()
		start { notify_admins = true }
		local admin = assert(xmpp.open(near:target "c2s"))
		assert(admin:login("admin", "secret"))
		admin:send "<presence/>"
		assert(admin:read_until "<presence[^>]*/?>")
		show(issue())
		ping()
		show(issue { by = other_authority })
		ping()
		local message = assert(admin:read_until "</message>")
		assert.matches("<body>[^<]*far.test.*SHA%-256: %x+ %(before: %x+%)", message)
		assert.matches("<subject>The certificate of far.test</subject>", message)
		admin:close()
	end)

	it("closes streams both ways after a change until it is accepted, with certificate_change = refuse", function ()
		start { certificate_change = "refuse" }
		show(issue())
		assert.is_true((ping()))
		show(issue { by = other_authority })
		local reached, log, answer = ping()
		assert.is_false(reached)
		assert.matches("it is refused until it is accepted", answer)
		assert.equal(1, select(2, log:gsub("warn\tThe certificate of far.test: ", "")))
		local mark = near:mark()
		-- The stream that came with the old certificate goes on; a new one does not.
		far:shell [[s2s:close("far.test", "near.test")]]
		local incoming = far:begin_shell [[xmpp:ping("far.test", "near.test", 20)]]
		near:wait_for_log("s2sin[^\n]*Stream refused by the TLS policy: [^\n]*until it is accepted", mark)
		incoming:close()
		assert.is_false((ping()))
		local pending = 0
		for _, entry in ipairs(peers "far.test") do
			pending = pending + (entry.pending and 1 or 0)
		end
		assert.equal(1, pending)
		local output, status = near:shell [[tlspolicy:accept("far.test")]]
		assert.equal(0, status)
		assert.matches("OK: 1 certificate of far.test accepted", output)
		assert.is_true((ping()))
		assert.matches("pong", far:shell([[xmpp:ping("far.test", "near.test", 20)]]):lower())
	end)

	it("has to be accepted by its SHA-256 after two changes", function ()
		start { certificate_change = "refuse" }
		show(issue())
		ping()
		for _ = 1, 2 do
			show(issue { by = other_authority })
			assert.is_false((ping()))
		end
		local output, status = near:shell [[tlspolicy:accept("far.test")]]
		assert.equal(1, status)
		assert.matches("2 certificates of far.test are refused; say which one", output)
		local wanted
		for _, entry in ipairs(peers "far.test") do
			wanted = entry.pending and entry.sha256 or wanted
		end
		assert.matches(wanted, (near:shell [[tlspolicy:peers("far.test")]]))
		output, status = near:shell(("tlspolicy:accept(%q, %q)"):format("far.test", wanted))
		assert.equal(0, status, output)
		assert.is_true((ping()))
	end)

	it("is refused after a change at each host of ours that a stream reaches", function ()
		local both = authority:issue { names = { "near.test", "second.test" }, key = "p256" }
		start({ certificate_change = "refuse" }, { hosts = { ["near.test"] = both, ["second.test"] = both },
			domain = "near.test" })
		show(issue())
		ping()
		-- The second host has not seen the domain yet.
		local theirs = issue { by = other_authority }
		local peer = assert(xmpp.open(near:target("s2s", "second.test"), { from = "far.test",
			tls = { certificate = theirs.certificate, key = theirs.key } }))
		peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"
		assert(peer:read_until "<success[^>]*>")
		assert(peer:open())
		peer:send "<iq type='get' id='p' from='far.test' to='near.test'><ping xmlns='urn:xmpp:ping'/></iq>"
		assert.matches("<policy%-violation.*until it is accepted", (assert(peer:read_all())))
		peer:close()
	end)

	-- XEP-0220: the answer of that server decides on streams without a certificate.
	it("is refused after a change when its server is asked about a dialback key, too", function ()
		start { certificate_change = "refuse" }
		show(issue())
		ping()
		far:shell [[s2s:close("far.test", "near.test")]]
		show(pki.self_signed { names = { "far.test" }, key = "p256", key_name = "impostor" })
		near:shell [[s2s:close("near.test", "far.test")]]
		local mark = near:mark()
		local peer = assert(xmpp.open(near:target("s2s", "near.test"), { from = "far.test" }))
		peer:send "<db:result from='far.test' to='near.test'>0123456789abcdef</db:result>"
		near:wait_for_log("s2sout[^\n]*Stream refused by the TLS policy: [^\n]*until it is accepted", mark)
		peer:close()
	end)

	it("is remembered for domains with long names, too", function ()
		start { certificate_change = "refuse" }
		local long = ("x"):rep(50) .. "." .. ("y-"):rep(25) .. "z." .. ("w-"):rep(25) .. "z.test"
		local theirs = issue { names = { long } }
		for _ = 1, 2 do
			local peer = assert(xmpp.open(near:target("s2s", "near.test"), { from = long,
				tls = { certificate = theirs.certificate, key = theirs.key } }))
			peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"
			assert(peer:read_until "<success[^>]*>")
			assert(peer:open())
			peer:close()
		end
		assert.equal(long, peers()[1].domain)
		assert.matches("1 certificate of ", (near:shell(("tlspolicy:forget(%q)"):format(long))))
	end)

	it("is remembered for a bounded number of domains a day, if a wildcard vouches for all of them", function ()
		start { certificate_change = "refuse" }
		local theirs = issue { names = { "*.far.test" } }
		for number = 1, 53 do
			local peer = assert(xmpp.open(near:target("s2s", "near.test"), { from = ("x%02d.far.test"):format(number),
				tls = { certificate = theirs.certificate, key = theirs.key } }))
			peer:send "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"
			assert(peer:read_until "<success[^>]*>")
			peer:close()
		end
		assert.equal(50, #peers())
		assert.equal(1, select(2, near:log():gsub("warn\tMemory of certificates: the certificate with the SHA", "")))
	end)

	it("is not refused after a change in report mode, which says that it would be", function ()
		start { certificate_change = "refuse", mode = "report" }
		show(issue())
		ping()
		assert.is_nil((near:shell "tlspolicy:would_refuse()"):find "admin%.change")
		show(issue { by = other_authority })
		assert.is_true((ping()))
		assert.matches("far%.test.*admin%.change", (near:shell "tlspolicy:would_refuse()"))
		assert.matches("1 certificate of far.test accepted", (near:shell [[tlspolicy:accept("far.test")]]))
	end)

	it("is not remembered for a server that is not authenticated", function ()
		start {}
		local theirs = issue()
		local peer = assert(xmpp.open(near:target "s2s", { from = "far.test",
			tls = { certificate = theirs.certificate, key = theirs.key } }))
		peer:close()
		local output, status = near:shell [[tlspolicy:peers("far.test")]]
		assert.equal(1, status)
		assert.matches("nothing is remembered of far.test", output)
	end)

	it("is forgotten on an administrator's command", function ()
		start { certificate_change = "refuse" }
		show(issue())
		ping()
		assert.matches("1 certificate of FAR.test forgotten", (near:shell [[tlspolicy:forget("FAR.test")]]))
		show(issue { by = other_authority })
		assert.is_true((ping()))
		for command, message in pairs {
			['tlspolicy:forget("none.test")'] = "nothing is remembered of \"none.test\"",
			['tlspolicy:accept("far.test")'] = "no certificate of \"far.test\" is pending",
			["tlspolicy:accept()"] = "name the domain of a server",
		} do
			local output, status = near:shell(command)
			assert.equal(1, status)
			assert.truthy(output:find(message, 1, true), output)
		end
	end)

	for _, backend in ipairs { "internal", "sql" } do
		it("is kept by the server's own storage: " .. backend, function ()
			local data = require "support.process".scratch "data"
			assert(require "lfs".mkdir(data))
			local options = {
				admins = {}, data_path = data, storage = backend,
				sql = { driver = "SQLite3", database = "prosody.sqlite" },
			}
			start({}, { options = options })
			show(issue())
			assert.is_true((ping()))
			local before = peers()
			assert.equal(1, #before)
			far = nil
			servers.stop()
			start({}, { options = options, users = {} })
			assert.same(before, peers())
		end)
	end

	-- What a file of the storage may hold after a crash, or after another version wrote it.
	for what, contents in pairs {
		["is empty"] = "", ["is an empty table"] = "return {};", ["holds no table"] = "return false;", ["is no Lua"] = "retu",
		["has another format"] = "return { format = 2; };",
	} do
		it("is refused with certificate_change = refuse if its record " .. what .. ", until it is forgotten", function ()
			local data = require "support.process".scratch "data"
			assert(require "lfs".mkdir(data))
			local options = { admins = {}, data_path = data, storage = "internal" }
			start({ certificate_change = "refuse" }, { options = options })
			show(issue())
			assert.is_true((ping()))
			far = nil
			servers.stop()
			files.write(data .. "/near%2etest/tls_policy_certificates/far%2etest.dat", contents)
			start({ certificate_change = "refuse" }, { options = options, users = {} })
			show(issue())
			local reached, log = ping()
			assert.is_false(reached)
			assert.is_true(log:find("Stream refused by the TLS policy", 1, true) ~= nil, log)
			assert.matches("unreadable", (near:shell "tlspolicy:peers()"))
			assert.is_false((ping()))
			local output, status = near:shell 'tlspolicy:forget("far.test")'
			assert.equal(0, status, output)
			assert.is_true((ping()))
			assert.equal(1, #peers "far.test")
		end)
	end

	it("is not remembered if the storage fails, and the server goes on", function ()
		prosody.surface.need("storage.none", pending)
		start({}, { options = { storage = { tls_policy_certificates = "none" }, admins = {} } })
		show(issue())
		local reached, log = ping()
		assert.is_true(reached)
		assert.matches("error\tThe certificates of other servers cannot be stored", log)
		local output, status = near:shell [[tlspolicy:peers()]]
		assert.same({ 1, true }, { status, output:find("could not be read", 1, true) ~= nil }, output)
		local again = select(2, ping())
		assert.is_nil(again:match "\t[^\n]*The certificates of other servers can")
	end)

end)
