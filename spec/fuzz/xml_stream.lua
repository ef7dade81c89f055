-- The stream of a hostile server, as the audit reads it: a byte for the size of the pieces, and the server's bytes.
-- Each input is also the start of a mutation of a seed.
local features = require "xmpp_tls_policy.audit.features"
local mutations = require "support.mutations"
local scripted = require "support.scripted_server"
local xml_stream = require "xmpp_tls_policy.audit.xml_stream"

local target = {}

-- What is read of bytes that come in pieces of so many: a list of words, each of printable characters.
local function read(bytes, size)
	local position = 1
	local stream = xml_stream.new { read = function ()
		if position > #bytes then
			return nil, "closed"
		end
		local piece = bytes:sub(position, position + size - 1)
		position = position + size
		return piece
	end }
	local seen = {}
	local header, kind, message = stream:read_header(0)
	local element = header
	while element do
		if element ~= header then
			seen[#seen + 1] = "element of " .. #element.children
			for _, list in ipairs { features.mechanisms(element), features.channel_bindings(element),
				features.others(element) } do
				assert(#list <= 32, "too many names")
				seen[#seen + 1] = table.concat(list, " ")
			end
		end
		element, kind, message = stream:read_element(0)
	end
	seen[#seen + 1] = stream.error_text
	seen[#seen + 1] = ("%s: %s"):format(kind, message)
	for _, words in ipairs(seen) do
		assert(not words:find "%c", "a control character")
	end
	return table.concat(seen, "\n")
end

local function try(bytes)
	local size = (bytes:byte(1) or 0) % 16 + 1
	bytes = bytes:sub(2)
	local whole, pieces = read(bytes, math.max(1, #bytes)), read(bytes, size)
	-- How much is too much depends on how much comes at once, and a fault in a tag that does not end may be seen or not.
	if not (whole .. pieces):find "too many" then
		assert(whole:gsub("[^\n]*$", "") == pieces:gsub("[^\n]*$", ""), "the pieces give something else")
	end
end

target.test = mutations.test(target, try)

function target.seeds()
	return {
		"\0" .. scripted.header(scripted.required),
		"\1" .. scripted.header(scripted.starttls .. scripted.mechanisms("PLAIN", "SCRAM-SHA-1")) .. scripted.proceed,
		"\5" .. scripted.header "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/>"
			.. "</sasl-channel-binding>",
		"\2" .. scripted.header() .. scripted.error "policy-violation",
		"\0" .. scripted.header() .. "<a>&lt;&#x41;\195\169<![CDATA[<b>]]></a><!-- --><?a b?>",
		"\7<!DOCTYPE a [<!ENTITY b 'c'><!ENTITY d '&b;&b;'>]>" .. scripted.header(),
		"\3" .. scripted.header() .. ("<a>"):rep(17), "\3" .. scripted.header() .. ("<a/>"):rep(17),
	}
end

return target
