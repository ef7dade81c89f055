-- The scripts in doc/examples, as an operator runs them. mod_tls_256.lua: spec/server/events_spec.lua.
local command_service = require "support.command_service"
local files = require "support.files"
local lfs = require "lfs"
local manual = require "support.manual"
local pki = require "support.pki"
local process = require "support.process"
local refused_peers = require "xmpp_tls_policy.refused_peers"
local tls_policy = require "xmpp_tls_policy"

local interpreter = lfs.symlinkattributes("/proc/self/exe").target

-- Runs a script; returns its output and exit status. `input`: path of its standard input.
local function run(script, arguments, input)
	return process.run {
		"env", "LUA_PATH=./lua/?.lua;./lua/?/init.lua;;", "LUA_CPATH=" .. package.cpath, "bash", "-c", '"$@" <"$0"',
		input or "/dev/null", interpreter, "doc/examples/" .. script, (table.unpack or unpack)(arguments),
	}
end

describe("the example", function ()
	local authority

	setup(function ()
		authority = pki.authority()
	end)

	teardown(pki.remove)

	for name in lfs.dir "doc/examples" do
		if not name:find "^%." then
			it("is in the manual as it is in the file: " .. name, function ()
				manual.has_between("doc/scripting.md", ("<!-- example %s -->\n"):format(name), "<!-- end of example -->",
					"```lua\n" .. files.read("doc/examples/" .. name) .. "```\n")
			end)
		end
	end

	describe("print_policy.lua", function ()
		for _, name in ipairs(tls_policy.profile_names) do
			it("prints " .. name, function ()
				local output, status = run("print_policy.lua", { name, "must" })
				assert.equal(0, status, output)
				local policy = assert(tls_policy.policy { profile = name, level = "must" })
				assert.truthy(output:find(tls_policy.render(policy), 1, true), output)
				for _, clause in ipairs(policy.clauses) do
					local line = ("\n\t%s (%s, section %s, "):format(clause.id, clause.document, clause.section)
					local listed = output:find(line, 1, true)
					assert.equal(clause.enforced, listed ~= nil, clause.id)
				end
			end)
		end

		it("says what is wrong with an option", function ()
			local output, status = run("print_policy.lua", { "rfc9326" })
			assert.equal(1, status)
			assert.matches("rfc9326.*rfc9325", output)
		end)
	end)

	describe("judge_certificate.lua", function ()
		it("finds no fault in a good certificate", function ()
			local good = authority:issue { names = { "example.test" }, key = "rsa2048" }
			local output, status = run("judge_certificate.lua", { good.certificate, "example.test" })
			assert.same({ 0, 1 }, { status, select(2, output:gsub("\n", "")) }, output)
			assert.matches("key: RSA of 2048 bits, until 20%d%d%-%d%d%-%d%d\n$", output)
		end)

		it("finds a wrong name, a weak key, and what the profile says of keys", function ()
			local weak = authority:issue { names = { "other.test" }, key = "rsa1024" }
			local output, status = run("judge_certificate.lua", { weak.certificate, "example.test", "mozilla-modern-6.0" })
			assert.equal(1, status)
			assert.matches('error: the certificate of "example.test" does not cover it, so clients', output)
			assert.matches("RSA key of 1024 bits; at least 2048 are needed", output)
			assert.matches("ECDSA", output)
		end)
	end)

	describe("compare_policies.lua", function ()
		it("prints what the manual says", function ()
			local certificate = authority:issue { names = { "example.test" }, key = "rsa2048" }
			local output, status = run("compare_policies.lua",
				{ certificate.certificate, certificate.key, "draft-saintandre-xmpp-tls-02", "rfc9325" })
			assert.equal(0, status, output)
			assert.matches("level should\n\tTLSv1.2, TLS_DHE_RSA_WITH_AES_128_GCM_SHA256, 128 bits\n\taccepted\n", output)
			manual.has_between("doc/scripting.md", "<!-- output of compare_policies.lua -->\n", "<!-- end of output -->",
				"```\n" .. output:gsub("\t", "    ") .. "```\n")
		end)
	end)

	describe("watch_refused.lua", function ()
		local function answer(times)
			local entries = {}
			for index, time in ipairs(times) do
				entries[index] = { time = time, what = "handshake", address = "192.0.2.1", role = "c2s", host = "host.test",
					text = "offers nothing newer than TLS 1.0", clauses = { "version.tls10", "version.tls12" } }
			end
			local text, done, message = command_service.run({
				server = command_service.server {},
				failed_handshakes = command_service.log_of(entries), refusal_log = command_service.log_of {},
				refused_peers = refused_peers.new { now = function () return 400 end },
			}, "refused", "json")
			assert(done, message)
			local path = files.temporary_path()
			finally(function () os.remove(path) end)
			files.write(path, ("%sOK: %s\n"):format(text, message))
			return path
		end

		it("prints each refusal once, the oldest first", function ()
			local state = process.scratch "refused"
			local one, three = answer { 1000.123456789 }, answer { 1000.123456789, 2000.25, 1500 }
			local line = "1970-01-01T00:%s c2s 192.0.2.1: offers nothing newer than TLS 1.0 [version.tls10 version.tls12]\n"
			assert.same({ line:format "16:40Z", 0 }, { run("watch_refused.lua", { state }, one) })
			assert.same({ "", 0 }, { run("watch_refused.lua", { state }, one) })
			assert.same({ line:format "25:00Z" .. line:format "33:20Z", 0 }, { run("watch_refused.lua", { state }, three) })
			assert.same({ "", 0 }, { run("watch_refused.lua", { state }, three) })
		end)

		it("fails if the shell gave no list", function ()
			local output, status = run("watch_refused.lua", { process.scratch "refused" }, "/dev/null")
			assert.equal(2, status)
			assert.matches("no list of refusals", output)
		end)
	end)
end)
