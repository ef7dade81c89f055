--- The lists of cipher suites and groups that the audit's hellos offer.
local iana = require "xmpp_tls_policy.audit.iana"
local policy_suites = require "xmpp_tls_policy.policy.suites"
local suite_classes = require "xmpp_tls_policy.policy.suite_classes"

local hello_lists = {}

-- Name -> its place in the table of policies, whose order is that of preference.
local places = {}
for index, record in ipairs(policy_suites.ciphers) do
	places[record.name] = index
end

-- What a good server is most likely to have comes first.
local function is_before(a, b)
	local weak_a, weak_b = suite_classes.bits(a) < 128, suite_classes.bits(b) < 128
	if weak_a ~= weak_b then
		return weak_b
	end
	local place_a, place_b = places[a] or math.huge, places[b] or math.huge
	if place_a ~= place_b then
		return place_a < place_b
	end
	return iana.suites[a] < iana.suites[b]
end

--- All suites of TLS 1.2 and older; those of SSLv3 and up that need no TLS 1.2; those of SSLv2; those of
-- TLS 1.3, with the ones that do not encrypt at the end.
hello_lists.tls12, hello_lists.before_tls12, hello_lists.sslv2 = {}, {}, {}
hello_lists.tls13 = {
	"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256", "TLS_AES_128_CCM_SHA256",
	"TLS_AES_128_CCM_8_SHA256", "TLS_SHA384_SHA384", "TLS_SHA256_SHA256",
}
for name in pairs(iana.suites) do
	if name:find "^SSL_" then
		table.insert(hello_lists.sslv2, name)
	elseif name:find "_WITH_" then
		table.insert(hello_lists.tls12, name)
	end
end
table.sort(hello_lists.sslv2)
table.sort(hello_lists.tls12, is_before)
for _, name in ipairs(hello_lists.tls12) do
	if not (name:find "SHA256$" or name:find "SHA384$" or name:find "_CCM") then
		table.insert(hello_lists.before_tls12, name)
	end
end

--- The groups of a hello of TLS 1.3, of one with hybrid groups alone, and of older hellos. Those have no
-- finite fields (rfc7919.4.own-group-without-offer): a client without them gets the server's own parameters of DHE.
hello_lists.groups, hello_lists.hybrid_groups, hello_lists.old_groups = {}, {}, {}
for _, group in ipairs(policy_suites.groups) do
	if group.tls13 then
		table.insert(hello_lists.groups, group.name)
	end
	if group.kind == "hybrid" then
		table.insert(hello_lists.hybrid_groups, group.name)
	end
	if group.before_tls13 then
		table.insert(hello_lists.old_groups, group.name)
	end
end

--- The names of a list for which `keep(name)` is true.
function hello_lists.filter(names, keep)
	local kept = {}
	for _, name in ipairs(names) do
		if keep(name) then
			kept[#kept + 1] = name
		end
	end
	return kept
end

--- A list without some names.
function hello_lists.without(list, names)
	local left_out = {}
	for _, name in ipairs(names) do
		left_out[name] = true
	end
	return hello_lists.filter(list, function (name)
		return not left_out[name]
	end)
end

--- Whether a list has a name.
function hello_lists.has(list, name)
	return #hello_lists.without(list, { name }) < #list
end

--- A list backwards.
function hello_lists.reversed(list)
	local result = {}
	for index = #list, 1, -1 do
		result[#result + 1] = list[index]
	end
	return result
end

return hello_lists
