-- Faults of the machine: the server is killed, its disk is full, or its storage fails. Each costs
-- as little as possible.

local configuration = require "support.configuration"
local files = require "support.files"
local json = require "dkjson"
local lfs = require "lfs"
local pki = require "support.pki"
local process = require "support.process"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

local DOMAINS = 60

describe("the certificate memory", function ()
	local authority, near
	local servers = prosody.group()
	-- Two certificates, each for all domains of other servers.
	local theirs = {}

	setup(function ()
		authority = pki.authority()
		local names = {}
		for index = 1, DOMAINS do
			names[index] = ("far%d.test"):format(index)
		end
		for index = 1, 2 do
			theirs[index] = authority:issue { names = names, key = "p256", key_name = "far " .. index, days = 300 }
			theirs[index].sha256 = pki.run({ "openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in",
				theirs[index].own }):match "=(%S+)":gsub(":", ""):lower()
		end
	end)

	after_each(servers.stop)

	teardown(pki.remove)

	local function start(fields)
		local spec = {
			hosts = { ["near.test"] = authority:issue { names = { "near.test" }, key = "p256" } },
			ca = authority.certificate, with_policy = true, routes = {}, options = {},
		}
		for name, value in pairs(fields) do
			spec[name] = value
		end
		near = servers.start(spec)
		return near
	end

	local function connect(domain, certificate)
		return xmpp.open(near:target("s2s", "near.test"), { from = domain,
			tls = { certificate = certificate.certificate, key = certificate.key } })
	end

	local auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"

	-- Whether the server of a domain is accepted, that is, its stream after SASL is opened; else also
	-- the text of the refusal.
	local function see(number, certificate)
		local peer, reason, text = connect(("far%d.test"):format(number), certificate or theirs[1])
		if not peer then
			return nil, reason .. text
		end
		peer:send(auth)
		local done, _, told = peer:read_until "<success[^>]*>"
		if done then
			done, _, told = peer:open()
		end
		peer:close()
		return done ~= nil, told
	end

	local function assert_seen(number)
		local done, told = see(number)
		assert.is_true(done, told)
	end

	local function assert_refused(number)
		local done, told = see(number)
		assert.is_false(done)
		assert.matches("<policy%-violation", told)
		return told
	end

	local function assert_log_in()
		local peer = assert(xmpp.open(near:target "c2s"))
		assert(peer:login("juliet", "secret"))
		peer:close()
	end

	-- Domain -> the SHA-256 of its certificates as keys. A record that cannot be read is an error.
	local function remembered()
		local output, status = near:shell [[tlspolicy:peers("json")]]
		assert.equal(0, status, output)
		local found = {}
		for line in output:gmatch "{[^\n]*}" do
			local entry = json.decode(line)
			assert.is_nil(entry.failure, line)
			found[entry.domain] = found[entry.domain] or {}
			found[entry.domain][entry.sha256] = true
		end
		return found
	end

	local function count(text, pattern)
		return select(2, text:gsub(pattern, ""))
	end

	describe("of a server that is killed", function ()
		-- Many servers connect at once. Waits until `waited_for` of them are accepted, then kills the
		-- server while the others are pending. Returns the domains of those that were accepted.
		local function kill_while_seeing(first, certificate, waited_for)
			local peers, acknowledged = {}, {}
			for number = first, first + 14 do
				peers[#peers + 1] = assert(connect(("far%d.test"):format(number), certificate))
			end
			for _, peer in ipairs(peers) do
				peer:send(auth)
			end
			for index = 1, waited_for do
				assert(peers[index]:read_until "<success[^>]*>")
				assert(peers[index]:open())
				acknowledged[#acknowledged + 1] = peers[index].from
			end
			near:kill()
			for _, peer in ipairs(peers) do
				peer:close()
			end
			return acknowledged
		end

		for _, backend in ipairs { "internal", "sql" } do
			it("is whole: " .. backend, function ()
				local data = process.scratch "data"
				assert(lfs.mkdir(data))
				local options = {
					data_path = data, storage = backend, sql = { driver = "SQLite3", database = "prosody.sqlite" },
				}
				local known = {}
				for _, round in ipairs { { 1, 1, 1 }, { 16, 1, 6 }, { 1, 2, 3 }, { 31, 1, 12 } } do
					start { options = options }
					for _, domain in ipairs(kill_while_seeing(round[1], theirs[round[2]], round[3])) do
						known[domain] = known[domain] or {}
						known[domain][theirs[round[2]].sha256] = true
					end
					start { options = options }
					local found = remembered()
					for domain, certificates in pairs(known) do
						for sha256 in pairs(certificates) do
							assert.is_true((found[domain] or {})[sha256], ("%s of %s is lost"):format(sha256, domain))
						end
					end
					assert_seen(60)
					assert.is_nil(near:log():match "\t[^\n]*The certificates of other servers cannot")
					near:stop()
				end
			end)
		end
	end)

	-- Runs the server with a small file system mounted on its data directory.
	local small_disk = {
		"unshare", "--mount", "sh", "-c", 'cp -a "$0" "$0.copy" && mount -t tmpfs -o size=256k tmpfs "$0"'
			.. ' && cp -a "$0.copy/." "$0" && exec "$@"',
	}

	local function can_mount()
		local output, status = process.run { "unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt" }
		return status == 0, output
	end

	describe("on a full disk", function ()
		local filler

		local function start_on_small_disk(policy)
			local able, why = can_mount()
			if not able then
				pending("this machine cannot mount a file system for the test: " .. why)
			end
			local data = process.scratch "data"
			assert(lfs.mkdir(data))
			local command = { data }
			for index, word in ipairs(small_disk) do
				table.insert(command, index, word)
			end
			command[#command + 1] = configuration.sanitized and configuration.sanitized .. "/lua"
			start { policy = policy, lua = command, options = { data_path = data }, users = { ["juliet@near.test"] = "secret" } }
			local pid = files.read(near.directory .. "/prosody.pid"):match "%d+"
			filler = ("/proc/%s/root%s/filler"):format(pid, data)
		end

		local function fill()
			local output = process.run { "dd", "if=/dev/zero", "of=" .. filler, "bs=4096" }
			assert.matches("No space left on device", output)
		end

		it("is not written, the log says so once, and the server goes on", function ()
			start_on_small_disk {}
			assert_seen(1)
			fill()
			for number = 1, 5 do
				assert_seen(number)
			end
			assert_log_in()
			assert.equal(1, count(near:log(), "error\tThe certificates of other servers cannot be stored"))
			assert.is_nil(near:log():match "The certificate of far")
			assert.same({ ["far1.test"] = { [theirs[1].sha256] = true } }, remembered())
			assert(os.remove(filler))
			assert_seen(5)
			assert.equal(1, count(near:log(), "info\tThe certificates of other servers can be stored again"))
			assert.same({ [theirs[1].sha256] = true }, remembered()["far5.test"])
			assert.is_nil(near:log():match "Traceback")
		end)

		it("accepts only known servers, with certificate_change = refuse", function ()
			start_on_small_disk { certificate_change = "refuse" }
			assert_seen(1)
			fill()
			assert.matches("the certificate memory could not be written", assert_refused(2))
			assert_seen(1)
			assert.is_false((see(1, theirs[2])))
			assert(os.remove(filler))
			assert_seen(2)
			assert.is_false((see(1, theirs[2])))
		end)

		it("works if only the disk of the log is full", function ()
			start { log_level = "info", users = { ["juliet@near.test"] = "secret" } }
			near:configure { options = { log = { info = near.log_path, debug = "/dev/full" } } }
			near:reload()
			assert_seen(1)
			assert_log_in()
			assert.same({ [theirs[1].sha256] = true }, remembered()["far1.test"])
		end)
	end)

	describe("with one record that cannot be read", function ()
		local function start_damaged(policy)
			start { policy = policy }
			assert_seen(1)
			local record = near.directory .. "/data/near%2etest/tls_policy_certificates/far1%2etest.dat"
			files.write(record, pki.truncated(assert(files.read(record))))
		end

		it("keeps the other records, and the log says so once", function ()
			start_damaged {}
			for _ = 1, 3 do
				assert_seen(1)
				assert_seen(2)
			end
			assert.equal(1, count(near:log(), "error\tThe certificates of other servers cannot be read"))
			assert.equal(1, count(near:log(), "info\tThe certificates of other servers can be read again"))
			local output = near:shell [[tlspolicy:peers()]]
			assert.matches("far1.test +near.test[^\n]* unreadable", output)
			assert.matches("far2.test +near.test[^\n]* yes ", output)
		end)

		it("accepts all servers but that one, with certificate_change = refuse", function ()
			start_damaged { certificate_change = "refuse" }
			assert_refused(1)
			assert_seen(2)
			assert.matches("certificate", (near:shell [[tlspolicy:forget("far1.test")]]))
			assert_seen(1)
		end)
	end)

	local backend = { tls_policy_certificates = "test_failing" }
	local faults = {
		["cannot read"] = { fails = { get = "error" }, how = "read" },
		["throws on reading"] = { fails = { get = "throw" }, how = "read" },
		["cannot write"] = { fails = { set = "error" }, how = "stored" },
		["throws on writing"] = { fails = { set = "throw" }, how = "stored" },
		["is missing"] = { backend = { tls_policy_certificates = "absent" }, how = "read" },
	}
	for what, fault in pairs(faults) do
		describe("in a storage that " .. what, function ()
			local function start_with_fault(policy)
				local options = { storage = fault.backend or backend, test_storage = fault.fails }
				start { policy = policy, options = options, users = { ["juliet@near.test"] = "secret" } }
			end

			local function mend()
				near:configure { options = { storage = backend } }
				near:reload()
			end

			it("is not used, and the log says so once", function ()
				start_with_fault {}
				for number = 1, 4 do
					assert_seen(number)
				end
				assert_log_in()
				assert.equal(1, count(near:log(), ("error\tThe certificates of other servers cannot be %s"):format(fault.how)))
				assert.is_nil(near:log():match "Traceback")
				assert.is_nil(near:log():match "The certificate of far")
				-- Prosody's own line about a missing driver.
				assert.is_true(count(near:log(), "Falling back to null driver for tls_policy_certificates") <= 1)
				mend()
				assert_seen(5)
				assert_seen(6)
				assert.equal(1, count(near:log(),
					("info\tThe certificates of other servers can be %s again"):format(fault.how)))
				assert.truthy(remembered()["far6.test"])
			end)

			it("accepts no server, with certificate_change = refuse", function ()
				start_with_fault { certificate_change = "refuse" }
				assert.matches(("the certificate memory could not be %s"):format(fault.how == "read" and "read" or "written"),
					assert_refused(1))
				assert_refused(1)
				assert_log_in()
				mend()
				assert_seen(1)
			end)
		end)
	end
end)
