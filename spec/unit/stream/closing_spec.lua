local new_closing = require "xmpp_tls_policy.stream.closing".new

describe("a stream that is refused", function ()
	-- A stream, what is called on its way out, and its ending.
	local function ending()
		local calls, session = {}, {}
		local function note(name)
			return function (...)
				calls[#calls + 1] = { name, ... }
			end
		end
		local host, peer = "host.test", "a.test"
		local function strip(name)
			return function (...)
				calls[#calls + 1] = { name, ... }
				host, peer = nil, nil
			end
		end
		local stream = {
			session = session, role = "s2sin", facts = { version = "TLSv1.1" },
			host = function () return host end, peer = function () return peer end,
		}
		local server = {
			close = strip "close", close_silently = strip "close_silently", fire = note "fire",
			send_encryption_required = note "encryption_required",
		}
		local refusal_log = { add = function (_, ...) calls[#calls + 1] = { "add", ... } end }
		local metrics = {}
		local closing = new_closing { server = server, refusal_log = refusal_log, metrics = metrics }
		return closing, stream, calls, { server = server, metrics = metrics }
	end

	-- rfc6120.4.9.1.1.error-ends-stream, rfc6120.4.9.3.14.policy-violation
	it("is logged, closed with an error, and published", function ()
		local closing, stream, calls, parts = ending()
		local verdict = {}
		local refusal = {
			condition = "policy-violation", text = "TLS is old", clauses = { "x" }, policy = "p", verdict = verdict,
		}
		assert.is_true(closing:refuse(stream, refusal))
		assert.same({
			{ "add", parts.server, parts.metrics, stream, refusal },
			{ "close", stream.session, "policy-violation", "TLS is old" },
			{ "fire", "host.test", "tls-policy/refused", {
				session = stream.session, domain = "a.test", facts = stream.facts, verdict = verdict, policy = "p",
				text = "TLS is old",
			} },
		}, calls)
		assert.equal(verdict, calls[3][4].verdict)
	end)

	it("is closed and published with a text in which foreign characters are escaped", function ()
		for _, condition in ipairs { "policy-violation", false } do
			local closing, stream, calls = ending()
			closing:refuse(stream, { text = "for a\226\129\166\n\255.test", condition = condition or nil })
			local text = "for a\\226\\129\\166\\010\\255.test"
			assert.equal(text, calls[2][condition and 4 or 3])
			assert.equal(text, calls[3][4].text)
		end
	end)

	it("is closed without an error where the refusal has no condition", function ()
		local closing, stream, calls = ending()
		assert.is_true(closing:refuse(stream, { text = "no STARTTLS" }))
		assert.same({ "close_silently", stream.session, "no STARTTLS" }, calls[2])
		assert.equal("fire", calls[3][1])
		assert.is_nil(calls[4])
	end)

	it("rfc6120.6.5.4.encryption-required: has an attempt at SASL answered before it is closed", function ()
		local closing, stream, calls = ending()
		closing:refuse(stream, { text = "no TLS", condition = "policy-violation", encryption_required = true })
		assert.same({ "encryption_required", stream.session }, calls[2])
		assert.equal("close", calls[3][1])
	end)
end)
