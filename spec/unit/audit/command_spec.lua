local domain_list = require "xmpp_tls_policy.audit.domain_list"
local pki = require "support.pki"
local run = require "support.command_run"

describe("the command audit", function ()
	teardown(pki.remove)

	for message, arguments in pairs {
		["no domain to audit"] = {},
		['"a b" is no domain'] = { "a b" },
		["--connect takes HOST:PORT"] = { "a.test", "--connect", "host", "--service", "c2s" },
		["--connect needs --service"] = { "a.test", "--connect", "host:5222" },
		["--connect audits one endpoint of one domain"] = { "a.test", "b.test", "--connect", "h:1", "--service", "c2s" },
		["--service and --direct belong to --connect"] = { "a.test", "--direct" },
		["/none: No such file or directory"] = { "--file", "/none" },
		["the file of trust anchors, /none, cannot be read"] = { "a.test", "--trust-anchors", "/none" },
		['"x" is no SHA-256 digest: 64 hexadecimal digits are needed'] = { "a.test", "--expect-key", "x" },
	} do
		it("refuses wrong use: " .. message, function ()
			local status, written, warned = run("audit", (unpack or table.unpack)(arguments))
			assert.same({ 64, "", message }, { status, written, warned })
		end)
	end

	for _, word in ipairs { "h:", ":5222", "h:0", "h:65536", "[::1]:70000", "::1:5222", "a b:5222" } do
		it("refuses to connect to " .. word, function ()
			local status = run("audit", "a.test", "--connect", word, "--service", "c2s")
			assert.equal(64, status)
		end)
	end

	it("refuses numbers that are none", function ()
		for _, option in ipairs { "--jobs", "--connections", "--timeout" } do
			for _, number in ipairs { "0", "-1", "1.5", "many" } do
				local status, _, warned = run("audit", "a.test", option .. "=" .. number)
				assert.equal(64, status)
				assert.truthy(warned:find(number .. " is no positive number", 1, true), warned)
			end
		end
	end)

	it("says that nobody could be reached, with exit status 2", function ()
		local status, written = run("audit", "a.test", "--connect", "127.0.0.1:1", "--service", "c2s")
		assert.equal(2, status)
		assert.truthy(written:find("refused", 1, true), written)
	end)
end)

describe("the list of domains", function ()
	teardown(pki.remove)

	it("has those that are given and those of a file, each once", function ()
		local path = pki.write("# those of ours\nB.test\n\n  a.test. \r\nc.test # the last\nb\195\188cher.test\n", ".txt")
		assert.same({ "d.test", "a.test", "b.test", "c.test", "b\195\188cher.test" },
			domain_list.of({ "d.test", "A.test" }, path))
	end)

	it("says which line is no domain", function ()
		local path = pki.write("a.test\n\27[2J\n", ".txt")
		assert.same({ nil, path .. ', line 2: "\\027[2J" is no domain' }, { domain_list.of({}, path) })
	end)
end)
