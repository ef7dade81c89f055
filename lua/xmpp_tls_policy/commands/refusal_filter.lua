--- Filters of the command `refused`: which entries (see stream/refusal_log.lua and
-- handshakes/failed_handshakes.lua) an operator asks for.
local clauses = require "xmpp_tls_policy.policy.clauses"
local core = require "xmpp_tls_policy.core"
local network = require "xmpp_tls_policy.network"
local text = require "xmpp_tls_policy.text"

local roles = { c2s = { "c2s" }, s2sin = { "s2sin" }, s2sout = { "s2sout" }, s2s = { "s2sin", "s2sout" } }

local function has(list, wanted)
	for _, item in ipairs(list or {}) do
		if item == wanted then
			return true
		end
	end
	return false
end

local function all()
	return true
end

local function is_address(word)
	return word:find "^%d+%.%d+%.%d+%.%d+$" ~= nil or word:find "^[%x:.]*:[%x:.]*$" ~= nil
end

local function same_domain(a, wanted)
	return a ~= nil and (core.domain_name(a) or a) == wanted
end

local function complaint(word)
	local known = { "c2s", "s2s", "s2sin", "s2sout" }
	for id in pairs(clauses) do
		known[#known + 1] = id
	end
	table.sort(known)
	return nil, ("%s is not a domain, an address, a clause such as version.tls12, or a role (c2s, s2s, s2sin, s2sout)%s")
		:format(text.quote(word), text.suggestion(word, known))
end

--- Returns function(entry) -> whether it is asked for; or nil and a message. `wanted`: a role, the id
-- of a clause, an IP address (of IPv6 its /64), a domain of a peer or of ours, or nil: all.
return function (server, wanted)
	if not wanted then
		return all
	elseif roles[wanted] then
		return function (entry)
			return has(roles[wanted], entry.role)
		end
	elseif clauses[wanted] then
		return function (entry)
			return has(entry.clauses, wanted)
		end
	elseif is_address(wanted) then
		local of_wanted = network.of(wanted:lower())
		return function (entry)
			return entry.address ~= nil and network.of(entry.address) == of_wanted
		end
	end
	local domain = core.domain_name(wanted)
	if not domain or not wanted:find(".", 1, true) and not server.is_host(wanted) then
		return complaint(wanted)
	end
	return function (entry)
		return same_domain(entry.domain, domain) or same_domain(entry.host, domain)
	end
end
