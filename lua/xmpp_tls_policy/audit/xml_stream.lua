--- An XML stream (RFC 6120) over a transport: a channel, or TLS over it. Of either side; the other one
-- may be hostile. All that it can make us keep is bounded, and a deadline, in seconds of tasks.now(),
-- ends a wait however many single bytes arrive meanwhile.
--
-- Failures are nil, kind, message. Kinds: those of the transport's read and write ("closed", "reset",
-- "timeout", ...), "stream_error" (the other side sent one; `message` is its condition) and "malformed".
-- A stream that has failed stays so.
local text = require "xmpp_tls_policy.text"
local lxp = require "lxp"

local xml_stream = {}

--- The namespaces of XMPP that the audit meets.
xml_stream.namespaces = {
	streams = "http://etherx.jabber.org/streams",
	errors = "urn:ietf:params:xml:ns:xmpp-streams",
	tls = "urn:ietf:params:xml:ns:xmpp-tls",
	sasl = "urn:ietf:params:xml:ns:xmpp-sasl",
	sasl2 = "urn:xmpp:sasl:2",
	channel_binding = "urn:xmpp:sasl-cb:0",
	xml = "http://www.w3.org/XML/1998/namespace",
	c2s = "jabber:client",
	s2s = "jabber:server",
}
local namespaces = xml_stream.namespaces

-- For each wait for a header or an element: bytes, elements and levels.
local MOST_BYTES, MOST_ELEMENTS, MOST_LEVELS = 65536, 1000, 16
-- Elements that were read and that nobody has asked for yet.
local MOST_QUEUED = 16

local methods = {}
local metatable = { __index = methods }

-- ---- parsing -------------------------------------------------------------------

-- "namespace\1name" -> namespace or nil, name
local function split(name)
	local namespace, rest = name:match "^(.-)\1(.*)$"
	return namespace, rest or name
end

-- Attributes without a namespace by their name, and xml:lang by that.
local function attributes_of(given)
	local attributes = {}
	for name, value in pairs(given) do
		if type(name) == "string" then
			local namespace, rest = split(name)
			if not namespace then
				attributes[rest] = value
			elseif namespace == namespaces.xml then
				attributes["xml:" .. rest] = value
			end
		end
	end
	return attributes
end

-- Makes the stream fail, from within a callback of the parser.
local function refuse(self, parser, message)
	self._problem = self._problem or message
	parser:stop()
end

local function start_element(self, parser, full_name, given)
	if self._problem then
		return
	end
	local namespace, name = split(full_name)
	local level = #self._open
	if level == 0 and not self._header then
		if namespace ~= namespaces.streams or name ~= "stream" then
			return refuse(self, parser, "the root element is no stream, but " .. text.quote(name))
		end
		self._header = attributes_of(given)
		self._header.content_namespace = self._content_namespace
		return
	end
	self._elements = self._elements + 1
	if level >= MOST_LEVELS then
		return refuse(self, parser, "elements are nested too deeply")
	elseif self._elements > MOST_ELEMENTS then
		return refuse(self, parser, "too many elements")
	end
	local element = { name = name, namespace = namespace, attributes = attributes_of(given), children = {}, text = "" }
	local parent = self._open[level]
	if parent then
		parent.children[#parent.children + 1] = element
	end
	self._open[level + 1] = element
	self._texts[level + 1] = {}
end

local function end_element(self, parser)
	local level = #self._open
	if self._problem then
		-- Expat still calls it for an empty element.
		return
	elseif level == 0 then
		self._finished = true
		return
	end
	local element = table.remove(self._open)
	element.text = table.concat(table.remove(self._texts))
	if level == 1 then
		if #self._queue == MOST_QUEUED then
			return refuse(self, parser, "too many elements that were not asked for")
		end
		self._queue[#self._queue + 1] = element
		local _, _, position = parser:pos()
		self._read_to = position + parser:getcurrentbytecount() - 1
	end
end

local function new_parser(self)
	local function no_restricted_xml(parser)
		refuse(self, parser, "a comment, a processing instruction or a document type, which XMPP forbids")
	end
	return lxp.new({
		StartElement = function (parser, name, attributes)
			start_element(self, parser, name, attributes)
		end,
		EndElement = function (parser)
			end_element(self, parser)
		end,
		CharacterData = function (_, characters)
			local texts = self._texts[#self._texts]
			if texts then
				texts[#texts + 1] = characters
			end
		end,
		StartNamespaceDecl = function (_, prefix, namespace)
			if not prefix and not self._header then
				self._content_namespace = namespace
			end
		end,
		-- Restricted XML (rfc6120.11.1.no-restricted-xml). Without a document type there are no entities but XML's own.
		StartDoctypeDecl = no_restricted_xml,
		ProcessingInstruction = no_restricted_xml,
		Comment = no_restricted_xml,
	}, "\1", false)
end

local function fail(self, kind, message)
	self._failure, self._parser = { kind, message }, nil
	return nil, kind, message
end

-- What of the bytes so far can be parsed. A tag is held back until its end is there: from 2.6.0 on, expat
-- may look at a tag that came in parts only when more bytes follow it, and none may.
local function whole_tags(self, bytes)
	self._held[#self._held + 1] = bytes
	if #self._held > 1 and not bytes:find(">", 1, true) then
		return ""
	end
	bytes, self._held = table.concat(self._held), {}
	local first = bytes:match "^.*()<"
	if first and not bytes:find(">", first, true) then
		self._held[1] = bytes:sub(first)
		return bytes:sub(1, first - 1)
	end
	return bytes
end

local function parse(self, bytes)
	-- Expat from 2.6.0 on waits for more of it.
	if self._received == 0 and not bytes:find "^%s*<" and bytes:find "%S" then
		return fail(self, "malformed", "no XML: it does not begin with <")
	end
	self._received = self._received + #bytes
	local parsed, problem = self._parser:parse(whole_tags(self, bytes))
	if not parsed then
		fail(self, "malformed", self._problem or "no XML: " .. text.shown(problem))
	end
end

-- Reads until done() is true.
local function read_until(self, deadline, done)
	local left = MOST_BYTES
	self._elements = 0
	while not done() do
		if self._failure then
			return nil, self._failure[1], self._failure[2]
		elseif self._finished then
			return fail(self, "closed", "the stream was closed")
		elseif left == 0 then
			return fail(self, "malformed", ("more than %d bytes before the end of an element"):format(MOST_BYTES))
		end
		local bytes, kind = self.transport:read(deadline)
		if not bytes then
			return fail(self, kind, kind == "timeout" and "no answer in time" or "the connection was " .. kind)
		end
		bytes = bytes:sub(1, left)
		left = left - #bytes
		-- What came before a fault still counts.
		parse(self, bytes)
	end
	return true
end

-- ---- elements --------------------------------------------------------------------

--- The first child of an element with this name and namespace, or nil.
function xml_stream.child(element, name, namespace)
	for _, child in ipairs(element.children) do
		if child.name == name and child.namespace == namespace then
			return child
		end
	end
end

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ["'"] = "&apos;", ['"'] = "&quot;" }

--- Text with XML's special characters escaped.
function xml_stream.escape(string)
	return (string:gsub("[&<>'\"]", entities))
end

-- The condition of a stream error (rfc6120.4.9.1.1.error-ends-stream), and its text if it has one.
local function condition_of(element)
	local condition, words = "undefined-condition", ""
	for _, child in ipairs(element.children) do
		if child.namespace == namespaces.errors and child.name == "text" then
			words = " " .. text.quote(child.text)
		elseif child.namespace == namespaces.errors then
			condition = text.shown(child.name:sub(1, 60))
		end
	end
	return condition, words
end

--- The text of a header. `service`: "c2s" or "s2s"; `attributes`: { to, from, id, ["xml:lang"] }, all of them
-- optional.
function xml_stream.header(service, attributes)
	local words = { "<?xml version='1.0'?><stream:stream" }
	for _, name in ipairs { "to", "from", "id", "xml:lang" } do
		if attributes[name] then
			words[#words + 1] = (" %s='%s'"):format(name, xml_stream.escape(attributes[name]))
		end
	end
	words[#words + 1] = (" version='1.0' xmlns='%s'%s xmlns:stream='%s'>"):format(namespaces[service],
		service == "s2s" and " xmlns:db='jabber:server:dialback'" or "", namespaces.streams)
	return table.concat(words)
end

-- ---- the stream --------------------------------------------------------------------

--- A stream over a transport: { read = function(self, deadline) -> bytes | nil, kind;
-- write = function(self, bytes, deadline) -> true | nil, kind; close = function(self) }.
function xml_stream.new(transport)
	local self = setmetatable({
		transport = transport, _open = {}, _texts = {}, _queue = {},
		_elements = 0, _held = {}, _received = 0, _read_to = 0,
	}, metatable)
	self._parser = new_parser(self)
	return self
end

--- Sends the header of our side; the arguments: see xml_stream.header. Returns true, or nil and a kind.
function methods:open(service, attributes, deadline)
	return self.transport:write(xml_stream.header(service, attributes), deadline)
end

--- Sends text that the caller has made, and escaped.
function methods:write(characters, deadline)
	return self.transport:write(characters, deadline)
end

--- Waits for the other side's header. Returns its attributes { to, from, id, version, ["xml:lang"],
-- content_namespace = the default namespace }.
function methods:read_header(deadline)
	local read, kind, message = read_until(self, deadline, function ()
		return self._header
	end)
	if not read then
		return nil, kind, message
	end
	return self._header
end

--- Waits for the next element of the stream. Returns { name, namespace, attributes, children (a list of
-- such), text }. A stream error is a failure.
function methods:read_element(deadline)
	local read, kind, message = read_until(self, deadline, function ()
		return #self._queue > 0
	end)
	if not read then
		return nil, kind, message
	end
	local element = table.remove(self._queue, 1)
	if element.name == "error" and element.namespace == namespaces.streams then
		local condition, words = condition_of(element)
		self.error_text, self._queue = condition .. words, {}
		return fail(self, "stream_error", condition)
	end
	return element
end

--- Whether bytes came after the element that was read last.
function methods:has_more()
	return self._failure ~= nil or #self._queue > 0 or self._received > self._read_to
end

return xml_stream
