-- The certificate memory over the storage that Prosody has by default: a file for each
-- domain.
local certificate_memory = require "xmpp_tls_policy.certificates.memory"
local core = require "xmpp_tls_policy.core"
local files = require "support.files"
local measure = require "bench.measure"
local process = require "support.process"

local certificates = { title = "Certificate memory" }

local day = 86400

-- Prosody's own modules, as they are installed.
local function datamanager()
	local control = process.check { "sh", "-c", "command -v prosodyctl" }:match "[^\n]+"
	local source = files.read(control):match "CFG_SOURCEDIR%s*=%s*['\"]([^'\"]+)['\"]"
	package.path = source .. "/?.lua;" .. package.path
	package.cpath = source .. "/?.so;" .. package.cpath
	_G.prosody = _G.prosody or { platform = "posix" } -- luacheck: ignore 122
	return require "util.datamanager"
end

local function store_of(manager, host)
	local name = "tls_policy_certificates"
	return {
		get = function (_, domain)
			return manager.load(domain, host, name)
		end,
		set = function (_, domain, record)
			return manager.store(domain, host, name, record)
		end,
		domains = function ()
			return manager.users(host, name)
		end,
	}
end

local function resident()
	return tonumber(files.read("/proc/self/status"):match "VmRSS:%s+(%d+)")
end

-- Many domains, each with a certificate; then sightings of some of them.
function certificates.run(bench)
	local domains, sightings, certificate = 100000, 10000, bench.certificate "p256"
	local facts = assert(core.certificate.from_pem(files.read(certificate.certificate))):facts()
	local manager = datamanager()
	manager.set_data_path(process.scratch "data")
	local now = os.time() - 30 * day
	local memory = certificate_memory.new {
		store = store_of(manager, "near.example"), now = function () return now end,
	}
	local seen = { direction = "in", verified = true }
	for number = 1, domains do
		assert(memory:see(("server%d.example"):format(number), facts, seen).accepted)
	end
	collectgarbage()
	local before = resident()
	local function look(written)
		local start = os.clock()
		for number = 1, sightings do
			local result = memory:see(("server%d.example"):format(number * 7919 % domains + 1), facts, seen)
			assert(result.kind == "known", result.message)
		end
		measure.note(("a certificate seen again, of %d domains, %s"):format(domains, written), "µs",
			(os.clock() - start) / sightings * 1e6, 1000)
	end
	look "on the same day"
	now = now + 2 * day
	look "days later, and written down"
	collectgarbage()
	measure.note("certificate memory, resident", "KiB more", resident() - before, 1024)
end

return certificates
