-- ClientHellos of offers.lua as the core reads them: in numbers.
local codes = require "support.cipher_suites"

local hello_numbers = {}

local versions = {
	SSLv2 = 0x0002, SSLv3 = 0x0300, TLSv1 = 0x0301, ["TLSv1.1"] = 0x0302, ["TLSv1.2"] = 0x0303, ["TLSv1.3"] = 0x0304,
}

-- { versions, suites, groups } of { version or versions, suites }, by their names. `groups`:
-- numbers (default x25519 and P-256).
function hello_numbers.of(offer, groups)
	local hello = { versions = {}, suites = {}, groups = groups or { 29, 23 } }
	for index, version in ipairs(offer.versions or { offer.version or "TLSv1.2" }) do
		hello.versions[index] = versions[version]
	end
	for index, suite in ipairs(offer.suites) do
		hello.suites[index] = codes[suite]
	end
	return hello
end

return hello_numbers
