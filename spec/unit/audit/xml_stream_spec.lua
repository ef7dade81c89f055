local xml_stream = require "xmpp_tls_policy.audit.xml_stream"

local HEADER = "<?xml version='1.0'?>"
	.. "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
	.. " from='example.test' id='&lt;1' version='1.0' xml:lang='en'>"

-- A transport that hands over these strings, one at a read, and then fails with `kind`.
local function transport_of(pieces, kind)
	local self = { written = {}, reads = 0 }
	function self.read()
		self.reads = self.reads + 1
		local piece = type(pieces) == "function" and pieces(self.reads) or type(pieces) == "table" and pieces[self.reads]
		if piece then
			return piece
		end
		return nil, kind or "closed"
	end
	function self.write(_, bytes)
		self.written[#self.written + 1] = bytes
		return true
	end
	return self
end

local function stream_of(...)
	local stream = xml_stream.new(transport_of({ ... }))
	assert(stream:read_header(0))
	return stream
end

-- One byte a piece.
local function bytes_of(string)
	local pieces = {}
	for index = 1, #string do
		pieces[index] = string:sub(index, index)
	end
	return pieces
end

describe("an XML stream", function ()
	it("sends a header, with foreign characters escaped", function ()
		local transport = transport_of {}
		xml_stream.new(transport):open("s2s", { to = "a'<&>\"b", from = "c" }, 0)
		assert.same({ "<?xml version='1.0'?><stream:stream to='a&apos;&lt;&amp;&gt;&quot;b' from='c' version='1.0'"
			.. " xmlns='jabber:server' xmlns:db='jabber:server:dialback'"
			.. " xmlns:stream='http://etherx.jabber.org/streams'>" }, transport.written)
	end)

	it("reads a header", function ()
		assert.same({ from = "example.test", id = "<1", version = "1.0", ["xml:lang"] = "en",
			content_namespace = "jabber:client" }, xml_stream.new(transport_of { HEADER }):read_header(0))
	end)

	local features = "<stream:features><a xmlns='x' b='c'>text<required/> more</a><d xmlns='y'/></stream:features>"
	for how, pieces in pairs {
		["in one piece"] = { HEADER .. features }, ["byte by byte"] = bytes_of(HEADER .. features),
	} do
		it("reads an element " .. how, function ()
			local transport = transport_of(pieces)
			local stream = xml_stream.new(transport)
			assert(stream:read_header(0))
			local element = assert(stream:read_element(0))
			assert.equal("features", element.name)
			assert.equal("http://etherx.jabber.org/streams", element.namespace)
			local a = xml_stream.child(element, "a", "x")
			assert.same({ name = "a", namespace = "x", attributes = { b = "c" }, text = "text more", children = {
				{ name = "required", namespace = "x", attributes = {}, children = {}, text = "" } } }, a)
			assert.is_nil(xml_stream.child(element, "a", "y"))
			assert.is_truthy(xml_stream.child(element, "d", "y"))
			-- Each byte is seen when it is there, without one that follows.
			assert.equal(#pieces, transport.reads)
		end)
	end

	it("keeps elements that came together for later", function ()
		local stream = stream_of(HEADER .. "<a/><b/>", "<c/>")
		assert.equal("a", stream:read_element(0).name)
		assert.is_true(stream:has_more())
		assert.equal("b", stream:read_element(0).name)
		assert.is_false(stream:has_more())
		assert.equal("c", stream:read_element(0).name)
	end)

	for what, bytes in pairs {
		["a space"] = " ", ["the beginning of a tag"] = "<", ["bytes of TLS"] = "\22\3\3", ["an element"] = "<b/>",
	} do
		it("says that " .. what .. " followed the element", function ()
			local stream = stream_of(HEADER, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" .. bytes)
			assert.equal("proceed", stream:read_element(0).name)
			assert.is_true(stream:has_more())
		end)
	end

	it("rfc6120.4.9.1.1.error-ends-stream: fails with the condition of an error", function ()
		local stream = stream_of(HEADER, "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
			.. "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>a\194\133b</text></stream:error><a/>")
		for _ = 1, 2 do
			assert.same({ n = 3, nil, "stream_error", "host-unknown" }, table.pack(stream:read_element(0)))
		end
		assert.equal('host-unknown "a\\194\\133b"', stream.error_text)
	end)

	it("fails with the transport's kind", function ()
		for _, kind in ipairs { "closed", "reset", "timeout" } do
			local stream = xml_stream.new(transport_of({}, kind))
			assert.equal(kind, (select(2, stream:read_header(0))))
			assert.equal(kind, (select(2, stream:read_element(0))))
		end
	end)

	it("is closed by </stream:stream>", function ()
		local stream = stream_of(HEADER, "<a/></stream:stream>")
		assert.equal("a", stream:read_element(0).name)
		assert.same({ n = 3, nil, "closed", "the stream was closed" }, table.pack(stream:read_element(0)))
	end)

	describe("from a hostile side", function ()
		for what, case in pairs {
			["another protocol"] = { "SSH-2.0-x\r\n", "no XML: it does not begin with <", first = true },
			["another root element"] = { "<html>", 'the root element is no stream, but "html"', first = true },
			["a root element without the namespace"] = { "<stream>", 'the root element is no stream, but "stream"',
				first = true },
			["a prefix without a namespace"] = { "<x:a/>", "no XML: unbound prefix" },
			["a control character"] = { "<a>\27[2J</a>", "no XML: not well-formed (invalid token)" },
			["a byte 0"] = { "<a>\0</a>", "no XML: not well-formed (invalid token)" },
			["no UTF-8"] = { "<a>\255</a>", "no XML: not well-formed (invalid token)" },
			["a wrong end tag"] = { "<a></b>", "no XML: mismatched tag" },
			["an entity"] = { "<a>&b;</a>", "no XML: undefined entity" },
			["rfc6120.11.1.no-restricted-xml: a comment"] = { "<!-- -->",
				"a comment, a processing instruction or a document type, which XMPP forbids" },
			["rfc6120.11.1.no-restricted-xml: a processing instruction"] = { "<?a b?>",
				"a comment, a processing instruction or a document type, which XMPP forbids" },
			["rfc6120.11.1.no-restricted-xml: a document type"] = {
				"<!DOCTYPE a [<!ENTITY b 'c'><!ENTITY d '&b;&b;'>]><stream:stream xmlns:stream='&d;'>",
				"a comment, a processing instruction or a document type, which XMPP forbids", first = true },
			["deep nesting"] = { ("<a>"):rep(17), "elements are nested too deeply" },
			["many elements"] = { "<a>" .. ("<b/>"):rep(1000), "too many elements" },
			["a long attribute"] = { "<a b='" .. ("c"):rep(70000) .. "'/>",
				"more than 65536 bytes before the end of an element" },
			["a long text"] = { "<a>" .. ("b"):rep(70000) .. "</a>", "more than 65536 bytes before the end of an element" },
			["white space"] = { (" "):rep(70000), "more than 65536 bytes before the end of an element" },
			["a long tag"] = { "<" .. ("a"):rep(70000), "more than 65536 bytes before the end of an element" },
		} do
			local function refused(pieces)
				local stream = xml_stream.new(transport_of(pieces))
				local read, kind, message = stream:read_header(0)
				while read do
					read, kind, message = stream:read_element(0)
				end
				assert.equal("malformed", kind)
				assert.equal(case[2], message)
			end

			it("refuses " .. what .. ", in one piece and byte by byte", function ()
				local header = case.first and "" or HEADER
				refused { header, case[1] }
				refused(bytes_of(header .. case[1]))
			end)
		end

		it("refuses many elements that nobody asked for", function ()
			local stream = stream_of(HEADER .. ("<a/>"):rep(17))
			for _ = 1, 16 do
				assert(stream:read_element(0))
			end
			assert.same({ n = 3, nil, "malformed", "too many elements that were not asked for" },
				table.pack(stream:read_element(0)))
		end)

		it("reads no more than the most of an endless element", function ()
			local transport = transport_of(function (count)
				return count == 1 and HEADER .. "<a>" or ("<b/>"):rep(10)
			end)
			local stream = xml_stream.new(transport)
			assert(stream:read_header(0))
			assert.equal("too many elements", (select(3, stream:read_element(0))))
			assert.is_true(transport.reads <= 102)
		end)
	end)
end)
