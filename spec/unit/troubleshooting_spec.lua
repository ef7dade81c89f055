-- doc/troubleshooting.md has each message of the log that an administrator has to act on.
local files = require "support.files"
local log_messages = require "support.log_messages"

-- Files whose sentences are logged as they are.
local SENTENCES = {
	"certificates/own_certificate", "contexts/session_memory", "stream/binding_mismatches", "stream/shut_hosts",
}

-- Parts of other sentences, and misuse by a caller.
local PARTS = {
	["get one with the DNS name … in its subjectAltName"] = true,
	["the certificate of the issuer … that follows …"] = true,
	["the certificate of ……"] = true,
	["bad …: …"] = true,
}

describe("doc/troubleshooting.md", function ()
	local rows = {}
	for message, remedy in files.read "doc/troubleshooting.md":gmatch "\n| `([^`\n]+)` | %l+ | ([^\n]+) |" do
		rows[message] = remedy
	end

	local function is_listed(shape)
		for message in pairs(rows) do
			if shape:find(message, 1, true) or message:find(shape, 1, true) then
				return true
			end
		end
		return false
	end

	it("has a remedy for each message at level warn or error", function ()
		local logged = log_messages.logged()
		assert.is_true(#logged > 20)
		for _, found in ipairs(logged) do
			assert.is_true(is_listed(found.shape), ("%s: %s"):format(found.path, found.shape))
		end
	end)

	for _, name in ipairs(SENTENCES) do
		it("has a remedy for each sentence of " .. name, function ()
			local sentences = log_messages.sentences_of(("lua/xmpp_tls_policy/%s.lua"):format(name))
			assert.is_true(#sentences > 0)
			for _, found in ipairs(sentences) do
				assert.is_true(PARTS[found.shape] or is_listed(found.shape), found.shape)
			end
		end)
	end

	it("has a remedy for each warning of an exception", function ()
		local count = 0
		for _, found in ipairs(log_messages.sentences_of "lua/xmpp_tls_policy/policy/exceptions.lua") do
			if found.shape:find "^the exception for" then
				count = count + 1
				assert.is_true(is_listed(found.shape), found.shape)
			end
		end
		assert.is_true(count > 0)
	end)

	it("has no message that the code does not have", function ()
		local shapes = log_messages.all_shapes()
		assert.truthy(next(rows))
		for message in pairs(rows) do
			assert.truthy(shapes:find(message, 1, true), message)
		end
	end)
end)
