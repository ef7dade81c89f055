-- Names that peers choose, in the log, in the shell and in the answers: whatever they are made of, they break
-- no line, turn no direction of writing, and hide nothing.
local pki = require "support.pki"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

-- Prosody 13.0.1 takes domains with these. Newer ones may refuse those with `refusable` before we see them.
local characters = {
	["a left-to-right isolate"] = { "\226\129\166", "\\226\\129\\166", refusable = true },
	["the end of an isolate"] = { "\226\129\169", "\\226\\129\\169", refusable = true },
	["a right-to-left isolate"] = { "\226\129\167", "\\226\\129\\167", refusable = true },
	["a line break"] = { "&#10;", "\\010", refusable = true },
	["a Hangul filler"] = { "\225\133\159", "\\225\\133\\159" },
}

describe("a foreign name", function ()
	local server, authority

	setup(function ()
		authority = pki.authority()
		server = prosody.start {
			hosts = { ["example.test"] = authority:issue { names = { "example.test" }, key = "rsa2048" } },
			with_policy = true, policy = { unauthenticated_s2s = "refuse" }, routes = {},
		}
	end)

	teardown(function ()
		if server then
			server:stop()
		end
		pki.remove()
	end)

	for name, case in pairs(characters) do
		it("with " .. name .. " is escaped", function ()
			local given, shown = ("a%sb.test"):format(case[1]), ("a%sb.test"):format(case[2])
			local mark = server:mark()
			local peer, reason, text = xmpp.open(server:target "s2s", { from = given })
			if peer then
				peer:send(("<db:result from='%s' to='example.test'>key</db:result>"):format(given))
				text = assert(peer:read_until "</stream:stream>")
				peer:close()
			end
			if case.refusable and not peer and tostring(text):find("improper-addressing", 1, true) then
				for _, output in ipairs { text, server:log(mark), (server:shell "tlspolicy:refused()") } do
					assert.is_nil(output:find((given:gsub("&#10;", "\n")), 1, true))
				end
				return
			end
			assert.truthy(text and text:find(shown, 1, true), tostring(reason) .. tostring(text))
			local line = server:wait_for_log("Stream refused by the TLS policy: [^\n]*", mark)
			assert.truthy(line:find(shown, 1, true), line)
			for _, command in ipairs { "tlspolicy:refused()", [[tlspolicy:refused("json")]] } do
				local output = server:shell(command)
				assert.is_nil(output:find(case[1], 1, true))
				assert.truthy(output:find((case[2]:gsub("\\", command:find "json" and "\\\\" or "\\")), 1, true), output)
			end
		end)
	end
end)
