--- Filters of the command `show`: which rows (see connection_row.lua) an operator asks for.
local core = require "xmpp_tls_policy.core"
local text = require "xmpp_tls_policy.text"

local function role_is(role)
	return function (row)
		return row.role == role
	end
end

local by_word = {
	c2s = role_is "c2s",
	s2sin = role_is "s2sin",
	s2sout = role_is "s2sout",
	s2s = function (row)
		return row.role ~= "c2s"
	end,
	exception = function (row)
		return row.verdict == "exception"
	end,
	refused = function (row)
		return row.verdict == "refused" or row.verdict == "would refuse"
	end,
	unauthenticated = function (row)
		return not row.authenticated
	end,
	plaintext = function (row)
		return not row.encrypted and not row.hibernating
	end,
}
by_word["would refuse"] = by_word.refused

local function all()
	return true
end

local function comparable(domain)
	return core.domain_name(domain) or domain
end

-- The parts of a JID that the server has prepared (rfc7622.3.2.normal-form): node, domain, resource.
local function parts_of(jid)
	local bare, resource = jid:match "^([^/]*)/?(.*)$"
	local node, domain = bare:match "^([^@]*)@(.*)$"
	return node, domain or bare, resource ~= "" and resource or nil
end

local function has_domain(row, wanted)
	for _, domain in ipairs(row.further_domains or {}) do
		if comparable(domain) == wanted then
			return true
		end
	end
	return comparable((select(2, parts_of(row.who)))) == wanted
end

local words = { "c2s", "s2s", "s2sin", "s2sout", "exception", "refused", "unauthenticated", "plaintext" }

local function complaint(wanted)
	return ("%s is not a JID or domain, a role (c2s, s2s, s2sin, s2sout), or one of exception, refused, "
		.. "unauthenticated, plaintext%s"):format(text.quote(wanted), text.suggestion(wanted, words))
end

-- Whether a domain is a host of ours, or a part of its name, such as "example" of "chat.example".
local function is_above_a_host(server, domain)
	for _, host in ipairs(server.hosts()) do
		if host == domain or host:sub(-#domain - 1) == "." .. domain then
			return true
		end
	end
	return false
end

--- Returns function(row) -> whether it is asked for; or nil and a message. `wanted`: a role, a
-- verdict, a JID, a domain, or nil: all. Each part of a JID that is given has to be in the row. Then,
-- second, a message for the case that no row is: for a word that may be a misspelt filter.
return function (server, wanted)
	if not wanted or by_word[wanted] then
		return by_word[wanted] or all
	end
	local node, domain, resource = server.split_jid(wanted)
	if not domain then
		return nil, complaint(wanted)
	end
	local is_plain_word = not domain:find "[.:]" and not is_above_a_host(server, domain)
	domain = comparable(domain)
	return function (row)
		if not row.who or not has_domain(row, domain) then
			return false
		end
		local of_node, _, of_resource = parts_of(row.who)
		return (not node or node == of_node) and (not resource or resource == of_resource)
	end, is_plain_word and complaint(wanted) or nil
end
