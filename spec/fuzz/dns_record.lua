-- The records of a name server that lies: a byte for the type, and the bytes of the record.
local dns = require "xmpp_tls_policy.audit.dns"
local mutations = require "support.mutations"

local target = {}

local types = { "A", "AAAA", "SRV", "TLSA", "CAA" }

local function try(bytes)
	local type_name = types[(bytes:byte(1) or 0) % #types + 1]
	local record = dns.parse(type_name, bytes:sub(2))
	if record then
		local shown = dns.record_text(type_name, record)
		assert(#shown <= 600 and not shown:find "[%c\128-\255]", "text of a record")
	end
	if type_name == "SRV" and record then
		assert(record.port < 65536 and record.priority < 65536 and record.weight < 65536, "numbers")
		assert(#record.target <= 253 and not record.target:find "[^%l%d_.-]", "target")
	end
end

target.test = mutations.test(target, try)

function target.seeds()
	return {
		"\0\192\0\2\1", "\1" .. ("\0"):rep(15) .. "\1", "\2\0\1\0\2\20\102\4xmpp\7example\0", "\2\0\0\0\0\0\0\0",
		"\2\0\1\0\2\20\102" .. ("\63" .. ("a"):rep(63)):rep(3) .. "\61" .. ("b"):rep(61) .. "\0",
		"\3\3\1\1" .. ("x"):rep(32), "\4\0\5issueca.example",
	}
end

return target
