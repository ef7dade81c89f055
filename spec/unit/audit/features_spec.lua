local features = require "xmpp_tls_policy.audit.features"
local xml_stream = require "xmpp_tls_policy.audit.xml_stream"

-- The features of a stream as an element.
local function parsed(inner)
	local text = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
		.. "<stream:features>" .. inner .. "</stream:features>"
	local stream = xml_stream.new { read = function () return text end }
	assert(stream:read_header(0))
	return assert(stream:read_element(0))
end

describe("the features of a stream", function ()
	it("have mechanisms of SASL and SASL2, each once", function ()
		assert.same({ "PLAIN", "SCRAM-SHA-1", "EXTERNAL" }, features.mechanisms(parsed(
			"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>"
			.. "<mechanism>SCRAM-SHA-1</mechanism><mechanism xmlns='x'>OTHER</mechanism><hostname>a</hostname></mechanisms>"
			.. "<authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism><inline/>"
			.. "<mechanism>EXTERNAL</mechanism></authentication>")))
		assert.same({}, features.mechanisms(parsed "<mechanisms xmlns='x'><mechanism>PLAIN</mechanism></mechanisms>"))
	end)

	it("have types of channel binding", function ()
		assert.same({ "tls-exporter", "tls-unique" }, features.channel_bindings(parsed(
			"<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/><channel-binding/>"
			.. "<channel-binding type='tls-unique'/></sasl-channel-binding>")))
	end)

	it("have others beside STARTTLS", function ()
		assert.same({ "starttls", "b" }, features.others(parsed(
			"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><starttls xmlns='x'/><b xmlns='c'/>")))
	end)

	it("are bounded, and harmless to a terminal", function ()
		local many = {}
		for index = 1, 100 do
			many[index] = ("<a%d xmlns='b'/>"):format(index)
		end
		assert.equal(32, #features.others(parsed(table.concat(many))))
		assert.same({ "\\194\\133" .. ("x"):rep(58) }, features.mechanisms(parsed(
			"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>\194\133" .. ("x"):rep(1000)
			.. "</mechanism></mechanisms>")))
	end)
end)
