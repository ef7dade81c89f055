local command_line = require "xmpp_tls_policy.command_line"
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
		["--ipv4 and --ipv6 exclude each other"] = { "a.test", "--ipv4", "--ipv6" },
		["--callback needs --listen PORT"] = { "a.test", "--callback", "our.test" },
		["--callback takes a domain"] = { "a.test", "--callback", "a b", "--listen", "5269" },
		["--listen, --our-certificate and --our-key belong to --callback"] = { "a.test", "--listen", "5269" },
		["--our-certificate and --our-key belong together"] = { "a.test", "--callback", "our.test", "--listen", "5269",
			"--our-key", "/none" },
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

	it("refuses a certificate of ours that cannot be loaded", function ()
		local status, _, warned = run("audit", "a.test", "--callback", "our.test", "--listen", "5269",
			"--our-certificate", "/none.crt", "--our-key", "/none.key")
		assert.equal(64, status)
		assert.matches("/none.crt", warned)
	end)

	it("refuses a name server that is no address", function ()
		local status, written, warned = run("audit", "a.test", "--resolver", "ns")
		assert.same({ 64, "" }, { status, written })
		assert.matches('^libunbound does not take the name servers "ns": ', warned)
	end)

	it("refuses numbers that are none", function ()
		for _, option in ipairs { "--jobs", "--connections", "--timeout" } do
			for _, number in ipairs { "0", "-1", "1.5", "many", "1e400" } do
				local status, _, warned = run("audit", "a.test", option .. "=" .. number)
				assert.equal(64, status)
				assert.truthy(warned:find(number .. " is no positive number", 1, true), warned)
			end
		end
	end)

	it("makes metrics", function ()
		local _, written = run("audit", "a.test", "--connect", "127.0.0.1:1", "--service", "c2s", "--format", "metrics")
		assert.truthy(written:find('domain="a.test"', 1, true), written)
	end)

	it("says what has changed since an old report: below the text, and beside other formats", function ()
		local _, first = run("audit", "a.test", "--connect", "127.0.0.1:1", "--service", "c2s", "--format", "json")
		local path = pki.write(first, ".json")
		local arguments = { "audit", "b.test", "--connect", "127.0.0.1:1", "--service", "c2s", "--compare", path }
		local _, written, warned = run((unpack or table.unpack)(arguments))
		assert.matches("\nSince [^\n]*\n[^\n]*b.test: a new domain[^\n]*\n[^\n]*a.test: no longer audited\n$", written)
		assert.equal("", warned)
		arguments[#arguments + 1], arguments[#arguments + 2] = "--format", "json"
		_, written, warned = run((unpack or table.unpack)(arguments))
		assert.matches("^{.*}\n$", written)
		assert.matches("^Since .*b.test: a new domain.*a.test: no longer audited$", warned)
	end)

	it("says that an old report cannot be read", function ()
		local status, _, warned = run("audit", "a.test", "--compare", "/none")
		assert.same({ 64, "/none: No such file or directory" }, { status, warned })
		local path = pki.write("{}", ".json")
		status, _, warned = run("audit", "a.test", "--compare", path)
		assert.equal(64, status)
		assert.equal(path .. ": schema nil; this version reads schema 1", warned)
	end)

	it("says that nobody could be reached, with exit status 2", function ()
		local status, written = run("audit", "a.test", "--connect", "127.0.0.1:1", "--service", "c2s")
		assert.equal(2, status)
		assert.truthy(written:find("refused", 1, true), written)
	end)
end)

describe("the output of the command audit", function ()
	-- What it writes, and draws, where stdout and stderr are such terminals.
	local function outputs(stdout, stderr, ...)
		local written, drawn = {}, {}
		command_line.run({ "audit", "a.test", "--connect", "127.0.0.1:1", "--service", "c2s", ... }, {
			write = function (text) written[#written + 1] = text end,
			warn = error,
			terminal = function (stream) return ({ stdout = stdout, stderr = stderr })[stream] end,
			draw = function (text) drawn[#drawn + 1] = text end,
		})
		return table.concat(written), drawn
	end

	it("has colours on a terminal that wants them, and no escape sequence elsewhere", function ()
		assert.truthy(outputs({ columns = 80, colours = true }):find("\27[", 1, true))
		assert.is_nil(outputs({ columns = 80, colours = false }):find("\27", 1, true))
		assert.is_nil(outputs():find("\27", 1, true))
		for _, format in ipairs { "json", "html" } do
			assert.is_nil(outputs({ columns = 80, colours = true }, nil, "--format", format):find("\27", 1, true))
		end
	end)

	it("is as wide as the terminal", function ()
		for line in outputs({ columns = 60 }):gmatch "[^\n]+" do
			assert.is_true(#line <= 60, line)
		end
	end)

	it("shows progress on a terminal alone, and removes it", function ()
		local _, drawn = outputs(nil, { columns = 80 })
		assert.matches("0 of 1 domain  a.test", drawn[1])
		assert.equal("\r\27[K", drawn[#drawn])
		assert.same({}, (select(2, outputs({ columns = 80 }))))
	end)
end)

describe("the list of domains", function ()
	teardown(pki.remove)

	it("has those that are given and those of a file, each once", function ()
		local path = pki.write("# those of ours\nB.test\n\n  a.test. \r\nc.test # the last\nb\195\188cher.test\n", ".txt")
		assert.same({ "d.test", "a.test", "b.test", "c.test", "b\195\188cher.test" },
			domain_list.of({ "d.test", "A.test" }, path))
	end)

	it("takes no line for a domain that has two", function ()
		local path = pki.write("\239\187\191a.test\nb.test c.test\n", ".txt")
		assert.same({ nil, path .. ', line 2: "b.test c.test" is no domain' }, { domain_list.of({}, path) })
	end)

	it("may begin with a mark of UTF-8", function ()
		assert.same({ "a.test" }, domain_list.of({}, pki.write("\239\187\191a.test", ".txt")))
	end)

	it("says that a folder is no file", function ()
		assert.same({ nil, "spec: Is a directory" }, { domain_list.of({}, "spec") })
	end)

	it("says which line is no domain", function ()
		local path = pki.write("a.test\n\27[2J\n", ".txt")
		assert.same({ nil, path .. ', line 2: "\\027[2J" is no domain' }, { domain_list.of({}, path) })
	end)
end)
