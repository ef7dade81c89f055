--- Bounds how many new domains are remembered in a day. Anyone can own any number of domains, a
-- wildcard certificate vouches for all of one domain's subdomains, and each domain is a record that
-- stays for months.
local date = require "xmpp_tls_policy.date"

local newcomers = {}

local methods = {}
local metatable = { __index = methods }

-- New domains a day, in the order in which they are counted: those of one certificate, which has up to
-- 100 names at public authorities, or a wildcard; those of one network, which may be a provider's with
-- many customers; for a host of ours those without a valid certificate; and for a host all of them.
-- At the last bound a host remembers 184,000 domains, as none is kept for more than 92 days unseen.
local limits = {
	{ what = "certificate", most = 50, message = "the certificate with the SHA-256 %s has come with %d new domains" },
	{ what = "network", most = 100, message = "the network %s has come with %d new domains" },
	{ what = "unverified", most = 250, message = "%s has met %d new domains without a valid certificate" },
	{ what = "host", most = 2000, message = "%s has met %d new domains" },
}

--- For all hosts. `now`: function() -> UTC seconds.
function newcomers.new(options)
	return setmetatable({ _now = options.now, _day = nil, _counts = {}, _said = {} }, metatable)
end

local function begin_day(self)
	local today = date.of(self._now())
	if today ~= self._day then
		self._day, self._counts, self._said = today, {}, {}
	end
end

--- Counts a domain that is new to a host of ours. `newcomer`: { host, certificate = its SHA-256,
-- network = see network.lua, nil if unknown, unverified = true: no authority vouches for the domain }.
-- Returns true if it may be remembered. Otherwise it does not count, and false is returned with a
-- sentence, once a day for each bound and host, else nil.
function methods:admit(newcomer)
	begin_day(self)
	local keys = {
		certificate = newcomer.certificate, network = newcomer.network,
		unverified = newcomer.unverified and newcomer.host, host = newcomer.host,
	}
	for _, limit in ipairs(limits) do
		local key = keys[limit.what]
		if key and (self._counts[limit.what .. " " .. key] or 0) >= limit.most then
			local said = limit.what .. " " .. newcomer.host
			local is_new = not self._said[said]
			self._said[said] = true
			return false, is_new and limit.message:format(key, limit.most)
				.. " today; the certificates of further ones are not remembered before tomorrow" or nil
		end
	end
	for _, limit in ipairs(limits) do
		local key = keys[limit.what]
		if key then
			local counted = limit.what .. " " .. key
			self._counts[counted] = (self._counts[counted] or 0) + 1
		end
	end
	return true
end

return newcomers
