local certificate = require("xmpp_tls_policy.core").certificate
local collector_pace = require "support.collector_pace"
local pki = require "support.pki"

local unpack = table.unpack or unpack

local CLOSED = "certificate is closed"

local function bytes(hexadecimal)
	return (hexadecimal:gsub("%s", ""):gsub("%x%x", function (byte)
		return string.char(tonumber(byte, 16))
	end))
end

describe("certificate", function ()
	local authority

	setup(function ()
		authority = pki.authority()
	end)

	teardown(function ()
		pki.remove()
	end)

	local function issue(options)
		return assert(certificate.from_pem(authority:issue(options).pem))
	end

	-- Each case: whether it matches, what it shows, the names, the domain, and
	-- the service where it is not xmpp-client.
	local function check_matches(cases)
		for _, case in ipairs(cases) do
			local expected, sentence, options, domain, service = unpack(case, 1, 5)
			it(sentence, function ()
				assert.equal(expected, issue(options):matches(domain, service or "xmpp-client"))
			end)
		end
	end

	local A63 = ("a"):rep(63)
	-- rfc1035.2.3.4.lengths. 253 characters: three labels of 63, one of 61.
	local LONGEST = ("%s.%s.%s.%s"):format(A63, A63, A63, ("a"):rep(61))

	describe("cert.identity: a DNS-ID", function ()
		check_matches {
			{ true, "matches an equal domain",
				{ names = { "example.com" } }, "example.com" },
			{ true, "matches for servers, too",
				{ names = { "example.com" } }, "example.com", "xmpp-server" },
			{ true, "matches when it is not the first",
				{ names = { "a.example", "b.example", "example.com" } }, "example.com" },
			{ false, "does not match another domain",
				{ names = { "example.com" } }, "example.net" },
			{ false, "does not match a subdomain",
				{ names = { "example.com" } }, "im.example.com" },
			{ false, "does not match the domain above it",
				{ names = { "im.example.com" } }, "example.com" },
			{ false, "does not match a longer domain with the same end",
				{ names = { "example.com" } }, "notexample.com" },
			{ false, "does not match a longer domain with the same beginning",
				{ names = { "example.com" } }, "example.com.evil.example" },
			-- rfc6125.6.4.1.domain-without-case
			{ true, "matches without regard to case in the certificate",
				{ names = { "EXAMPLE.Com" } }, "example.com" },
			{ true, "matches without regard to case in the domain",
				{ names = { "example.com" } }, "Example.COM" },
			{ true, "matches without the dot of the root in the domain",
				{ names = { "example.com" } }, "example.com." },
			{ true, "matches without the dot of the root in the certificate",
				{ names = { "example.com." } }, "example.com" },
			{ false, "does not match a domain with two dots at its end",
				{ names = { "example.com" } }, "example.com.." },
			{ false, "with two dots at its end matches nothing",
				{ names = { "example.com.." } }, "example.com" },
			{ true, "may have a single label",
				{ names = { "localhost" } }, "localhost" },
			{ false, "does not match a domain with an empty label",
				{ names = { "a..example" } }, "a..example" },
			{ false, "does not match a domain that begins with a dot",
				{ names = { ".example.com" } }, ".example.com" },
			{ false, "does not match nothing",
				{ names = { "" } }, "" },
			{ false, "does not match the root",
				{ names = { "." } }, "." },
			{ false, "with a NUL does not match what stands before it",
				{ names = { "example.com\0.evil.example" } }, "example.com" },
			{ false, "does not match a domain with a NUL",
				{ names = { "example.com" } }, "example.com\0.evil.example" },
			{ false, "with a NUL does not match even the same bytes",
				{ names = { "example.com\0" } }, "example.com\0" },
			{ false, "with an underscore matches nothing",
				{ names = { "_im.example.com" } }, "_im.example.com" },
			{ false, "with a space at its end matches nothing",
				{ names = { "example.com " } }, "example.com" },
			{ false, "with a line feed at its end matches nothing",
				{ names = { "example.com\n" } }, "example.com" },
			{ false, "with a hyphen at the beginning of a label matches nothing",
				{ names = { "-a.example.com" } }, "-a.example.com" },
			{ false, "with a hyphen at the end of a label matches nothing",
				{ names = { "a-.example.com" } }, "a-.example.com" },
			{ true, "may have hyphens within a label",
				{ names = { "a--b-c.example.com" } }, "a--b-c.example.com" },
			{ true, "may have a label of digits",
				{ names = { "123.example.com" } }, "123.example.com" },
			{ true, "may have a label of 63 characters",
				{ names = { A63 .. ".example" } }, A63 .. ".example" },
			{ false, "may not have a label of 64 characters",
				{ names = { "a" .. A63 .. ".example" } }, "a" .. A63 .. ".example" },
			{ true, "may have 253 characters",
				{ names = { LONGEST } }, LONGEST },
			{ true, "may have 253 characters and the dot of the root",
				{ names = { LONGEST } }, LONGEST .. "." },
			{ false, "may not have 254 characters",
				{ names = { LONGEST .. "a" } }, LONGEST .. "a" },
			{ false, "may not have 254 characters of which the last is a label",
				{ names = { LONGEST:sub(1, -3) .. ".ab" } }, LONGEST:sub(1, -3) .. ".ab" },
			-- rfc6125.6.4.4.no-common-name
			{ false, "is not the Common Name",
				{ common_name = "example.com" }, "example.com" },
			{ false, "is not the Common Name beside other names",
				{ common_name = "example.com", names = { "other.example" } }, "example.com" },
			{ false, "is not an e-mail address",
				{ alternative_names = { pki.der(0x81, "example.com") } }, "example.com" },
			{ false, "is not a URI",
				{ alternative_names = { pki.der(0x86, "example.com") } }, "example.com" },
			{ false, "is not an otherName of another kind",
				{ alternative_names = { pki.other_name(bytes "2B 06 01 05 05 07 08 06",
					pki.der(0x0C, "example.com")) } }, "example.com" },
		}
	end)

	-- rfc6125.6.4.3.wildcard-left-most-label, rfc6125.6.4.3.wildcard-one-label
	describe("cert.identity: a wildcard", function ()
		check_matches {
			{ true, "stands for the left-most label",
				{ names = { "*.example.com" } }, "im.example.com" },
			{ true, "stands for an internationalised label",
				{ names = { "*.example.com" } }, "müller.example.com" },
			{ false, "does not stand for no label",
				{ names = { "*.example.com" } }, "example.com" },
			{ false, "does not stand for an empty label",
				{ names = { "*.example.com" } }, ".example.com" },
			{ false, "does not stand for two labels",
				{ names = { "*.example.com" } }, "a.im.example.com" },
			{ false, "does not match another domain",
				{ names = { "*.example.com" } }, "im.example.net" },
			{ false, "does not match a domain with the same end",
				{ names = { "*.example.com" } }, "im.notexample.com" },
			{ false, "matches nothing above a single label",
				{ names = { "*.org" } }, "example.org" },
			{ false, "matches nothing alone",
				{ names = { "*" } }, "example" },
			{ false, "matches nothing before the dot of the root",
				{ names = { "*." } }, "example" },
			{ false, "matches nothing above a single label and the dot of the root",
				{ names = { "*.org." } }, "example.org" },
			{ true, "matches without the dot of the root",
				{ names = { "*.example.com." } }, "im.example.com" },
			{ false, "matches nothing at the beginning of a label",
				{ names = { "*m.example.com" } }, "im.example.com" },
			{ false, "matches nothing at the end of a label",
				{ names = { "f*.example.com" } }, "foo.example.com" },
			{ false, "matches nothing within a label",
				{ names = { "f*o.example.com" } }, "foo.example.com" },
			{ false, "matches nothing in an A-label",
				{ names = { "xn--*-kva.example.com" } }, "xn--mller-kva.example.com" },
			{ false, "matches nothing in the second label",
				{ names = { "im.*.com" } }, "im.example.com" },
			{ false, "matches nothing in the last label",
				{ names = { "im.example.*" } }, "im.example.com" },
			{ false, "matches nothing twice",
				{ names = { "*.*.example.com" } }, "a.im.example.com" },
			{ false, "is none in the domain",
				{ names = { "im.example.com" } }, "*.example.com" },
			{ false, "in the certificate does not match one in the domain",
				{ names = { "*.example.com" } }, "*.example.com" },
		}
	end)

	-- rfc6125.6.5.1.srv-id-of-service, rfc4985.2.srv-name
	describe("cert.identity: an SRV-ID", function ()
		check_matches {
			{ true, "matches its service and domain",
				{ srv = { "_xmpp-client.example.com" } }, "example.com", "xmpp-client" },
			{ true, "of the other service matches that",
				{ srv = { "_xmpp-server.example.com" } }, "example.com", "xmpp-server" },
			{ false, "for clients does not match for servers",
				{ srv = { "_xmpp-client.example.com" } }, "example.com", "xmpp-server" },
			{ false, "for servers does not match for clients",
				{ srv = { "_xmpp-server.example.com" } }, "example.com", "xmpp-client" },
			{ false, "for another protocol does not match",
				{ srv = { "_imap.example.com" } }, "example.com" },
			{ false, "does not match another domain",
				{ srv = { "_xmpp-client.example.com" } }, "example.net" },
			{ false, "does not match a subdomain",
				{ srv = { "_xmpp-client.example.com" } }, "im.example.com" },
			{ true, "matches without regard to case",
				{ srv = { "_XMPP-Client.Example.COM" } }, "example.com" },
			{ true, "matches without the dot of the root",
				{ srv = { "_xmpp-client.example.com." } }, "example.com" },
			{ true, "matches an internationalised domain",
				{ srv = { "_xmpp-client.xn--mller-kva.example" } }, "müller.example" },
			{ false, "knows no wildcard",
				{ srv = { "_xmpp-client.*.example.com" } }, "im.example.com" },
			{ false, "knows no wildcard for the service",
				{ srv = { "_*.example.com" } }, "example.com" },
			{ false, "without an underscore matches nothing",
				{ srv = { "xmpp-client.example.com" } }, "example.com" },
			{ false, "without a service matches nothing",
				{ srv = { "_.example.com" } }, "example.com" },
			{ false, "without a domain matches nothing",
				{ srv = { "_xmpp-client." } }, "example.com" },
			{ false, "with a protocol before the domain does not match the domain",
				{ srv = { "_xmpp-client._tcp.example.com" } }, "example.com" },
			{ false, "with a NUL matches nothing",
				{ srv = { "_xmpp-client.example.com\0.evil.example" } }, "example.com" },
			{ false, "with a NUL in its service matches nothing",
				{ srv = { "_xmpp-client\0.example.com" } }, "example.com" },
			{ false, "as UTF8String matches nothing",
				{ alternative_names = { pki.other_name(pki.id_on_dnssrv,
					pki.der(0x0C, "_xmpp-client.example.com")) } }, "example.com" },
		}
	end)

	-- rfc6120.13.7.1.4.xmpp-addr
	describe("cert.identity: an XmppAddr", function ()
		check_matches {
			{ true, "matches an equal domain",
				{ xmpp = { "example.com" } }, "example.com" },
			{ true, "matches for servers, too",
				{ xmpp = { "example.com" } }, "example.com", "xmpp-server" },
			{ true, "matches without regard to case",
				{ xmpp = { "Example.COM" } }, "example.com" },
			{ false, "does not match another domain",
				{ xmpp = { "example.com" } }, "example.net" },
			{ false, "does not match a subdomain",
				{ xmpp = { "example.com" } }, "im.example.com" },
			{ false, "knows no wildcard",
				{ xmpp = { "*.example.com" } }, "im.example.com" },
			{ false, "of a user does not match his domain",
				{ xmpp = { "juliet@example.com" } }, "example.com" },
			{ false, "of a user does not match even the same address",
				{ xmpp = { "juliet@example.com" } }, "juliet@example.com" },
			{ false, "with a resource does not match its domain",
				{ xmpp = { "example.com/balcony" } }, "example.com" },
			{ false, "with a resource does not match even the same address",
				{ xmpp = { "example.com/balcony" } }, "example.com/balcony" },
			{ false, "with a NUL matches nothing",
				{ xmpp = { "example.com\0" } }, "example.com" },
			{ false, "as IA5String matches nothing",
				{ alternative_names = { pki.other_name(pki.id_on_xmppaddr,
					pki.der(0x16, "example.com")) } }, "example.com" },
		}
	end)

	-- rfc1123.2.1.last-label-is-no-number
	describe("cert.identity: an IP address is no domain name:", function ()
		check_matches {
			{ false, "an IPv4 address does not match a DNS-ID",
				{ names = { "192.0.2.1" } }, "192.0.2.1" },
			{ false, "an IPv4 address and a dot does not match a DNS-ID",
				{ names = { "192.0.2.1" } }, "192.0.2.1." },
			{ false, "an IPv4 address does not match a wildcard",
				{ names = { "*.0.2.1" } }, "192.0.2.1" },
			{ false, "an IPv4 address does not match an XmppAddr",
				{ xmpp = { "192.0.2.1" } }, "192.0.2.1" },
			{ false, "an IPv4 address does not match an SRV-ID",
				{ srv = { "_xmpp-client.192.0.2.1" } }, "192.0.2.1" },
			{ false, "an IPv4 address does not match an iPAddress",
				{ alternative_names = { pki.ip_address("\192\0\2\1") } }, "192.0.2.1" },
			{ false, "an IPv4 address in one number does not match a DNS-ID",
				{ names = { "3221225985" } }, "3221225985" },
			{ false, "an IPv6 address does not match a DNS-ID",
				{ names = { "2001:db8::1" } }, "2001:db8::1" },
			{ false, "an IPv6 address in brackets does not match an XmppAddr",
				{ xmpp = { "[2001:db8::1]" } }, "[2001:db8::1]" },
		}
	end)

	-- rfc6125.6.4.2.compared-as-a-labels, rfc5890.2.3.2.1.a-label
	describe("cert.identity: internationalised names:", function ()
		local longest, too_long = "ü" .. ("a"):rep(55), "ü" .. ("a"):rep(56)

		check_matches {
			{ true, "a U-label matches an A-label",
				{ names = { "xn--mller-kva.example" } }, "müller.example" },
			{ true, "an A-label matches an A-label in upper case",
				{ names = { "XN--MLLER-KVA.example" } }, "xn--mller-kva.example" },
			{ true, "an A-label matches the U-label of an XmppAddr",
				{ xmpp = { "müller.example" } }, "xn--mller-kva.example" },
			{ true, "a U-label matches the U-label of an XmppAddr",
				{ xmpp = { "müller.example" } }, "müller.example" },
			{ true, "a U-label matches the A-label of an XmppAddr",
				{ xmpp = { "xn--mller-kva.example" } }, "müller.example" },
			{ true, "upper-case ASCII in a U-label is no difference",
				{ xmpp = { "MüLLER.example" } }, "müller.example" },
			{ true, "a U-label may stand below a wildcard",
				{ names = { "*.xn--mller-kva.example" } }, "im.müller.example" },
			{ false, "a U-label does not match its letters without marks",
				{ names = { "muller.example" } }, "müller.example" },
			-- rfc5280.7.2.a-labels-in-certificates
			{ false, "a U-label in UTF-8 is no DNS-ID",
				{ names = { "müller.example" } }, "müller.example" },
			{ false, "a U-label in UTF-8 is no SRV-ID",
				{ srv = { "_xmpp-client.müller.example" } }, "müller.example" },
			-- rfc5895.2.no-mapping
			{ false, "a composed and a decomposed letter differ",
				{ xmpp = { "mu\204\136ller.example" } }, "müller.example" },
			{ true, "an A-label may have 63 characters",
				{ names = { "xn--" .. ("a"):rep(55) .. "-oxf" } }, longest },
			{ false, "an A-label may not have 64 characters",
				{ xmpp = { too_long } }, too_long },
			{ false, "a label of many more characters is refused",
				{ xmpp = { ("ü"):rep(1000) } }, ("ü"):rep(1000) },
			{ true, "the last of all characters is encoded",
				{ names = { "xn--a-h023p.example" } }, "a\244\143\191\191.example" },
			-- rfc5891.4.2.3.1.no-double-hyphen
			{ false, "an A-label of an A-label is refused",
				{ names = { "xn--xn---3ra.example" } }, "xn--ü.example" },
			{ false, "a hyphen at the beginning of a U-label is refused",
				{ names = { "xn----eha.example" } }, "-ü.example" },
			{ false, "a hyphen at the end of a U-label is refused",
				{ names = { "xn----dha.example" } }, "ü-.example" },
			{ false, "an underscore in a U-label is refused",
				{ xmpp = { "_ü.example" } }, "_ü.example" },
			-- rfc3490.3.1.other-dots
			{ false, "an ideographic full stop is no part of a label",
				{ names = { "xn--ab-r13a.example" } }, "a\227\128\130b.example" },
			{ false, "a fullwidth full stop is no part of a label",
				{ names = { "xn--ab-yu3n.example" } }, "a\239\188\142b.example" },
			{ false, "a halfwidth ideographic full stop is no part of a label",
				{ names = { "xn--ab-213n.example" } }, "a\239\189\161b.example" },
			{ false, "an ideographic full stop is no dot",
				{ names = { "a.example" } }, "a\227\128\130example" },
			{ false, "a control character above ASCII is refused",
				{ names = { "xn--a-2ba.example" } }, "a\194\159.example" },
			{ false, "malformed UTF-8: two bytes for an ASCII letter",
				{ names = { "example.com" } }, "\193\165xample.com" },
			{ false, "malformed UTF-8: three bytes for an ASCII letter",
				{ names = { "example.com" } }, "\224\129\165xample.com" },
			{ false, "malformed UTF-8: four bytes for an ASCII letter",
				{ names = { "example.com" } }, "\240\128\129\165xample.com" },
			{ false, "malformed UTF-8: the first surrogate",
				{ names = { "xn--a-rc4g.example" } }, "a\237\160\128.example" },
			{ false, "malformed UTF-8: the last surrogate",
				{ names = { "xn--a-qo7g.example" } }, "a\237\191\191.example" },
			{ false, "malformed UTF-8: above the last character",
				{ names = { "xn--a-j023p.example" } }, "a\244\144\128\128.example" },
			{ false, "malformed UTF-8: five bytes",
				{ xmpp = { "a\248\136\128\128\128.example" } }, "a\248\136\128\128\128.example" },
			{ false, "malformed UTF-8: Latin-1",
				{ xmpp = { "m\252ller.example" } }, "m\252ller.example" },
			{ false, "malformed UTF-8: a continuation alone",
				{ xmpp = { "a\188.example" } }, "a\188.example" },
			{ false, "malformed UTF-8: cut off by a dot",
				{ xmpp = { "a\195.example" } }, "a\195.example" },
			{ false, "malformed UTF-8: cut off by the end",
				{ xmpp = { "example.a\195" } }, "example.a\195" },
		}

		-- rfc3492.5.parameters, rfc3492.6.1.bias, rfc3492.6.3.encoding: the samples of RFC 3492 7.1, (A) to
		-- (R), without (H), whose A-label is too long.
		local samples = {
			{ "ليهمابتكلموشعربي؟", "egbpdaj6bu4bxfgehfvwxn" },
			{ "他们为什么不说中文", "ihqwcrb4cv8a8dqg056pqjye" },
			{ "他們爲什麽不說中文", "ihqwctvzc91f659drss3x8bo0yb" },
			{ "Pročprostěnemluvíčesky", "Proprostnemluvesky-uyb24dma41a" },
			{ "למההםפשוטלאמדבריםעברית", "4dbcagdahymbxekheh6e0a7fei0b" },
			{ "यहलोगहिन्दीक्योंनहींबोलसकतेहैं",
				"i1baa7eci9glrd9b2ae1bj0hfcgg6iyaf8o0a1dig0cd" },
			{ "なぜみんな日本語を話してくれないのか",
				"n8jok5ay5dzabd5bym9f0cm5685rrjetr6pdxa" },
			{ "почемужеонинеговорятпорусски", "b1abfaaepdrnnbgefbaDotcwatmq2g4l" },
			{ "PorquénopuedensimplementehablarenEspañol",
				"PorqunopuedensimplementehablarenEspaol-fmd56a" },
			{ "TạisaohọkhôngthểchỉnóitiếngViệt",
				"TisaohkhngthchnitingVit-kjcr8268qyxafd2f1b9g" },
			{ "3年B組金八先生", "3B-ww4c5e180e575a65lsy2b" },
			{ "安室奈美恵-with-SUPER-MONKEYS", "-with-SUPER-MONKEYS-pc58ag80a8qai00g7n9n" },
			{ "Hello-Another-Way-それぞれの場所", "Hello-Another-Way--fc4qua05auwb3674vfr0b" },
			{ "ひとつ屋根の下2", "2-u9tlzr9756bt3uc0v" },
			{ "MajiでKoiする5秒前", "MajiKoi5-783gue6qz075azm5e" },
			{ "パフィーdeルンバ", "de-jg4avhby1noc0d" },
			{ "そのスピードで", "d9juau41awczczp" },
			-- Not of the RFC: these two tell a damping of 700 from 701 and 699.
			{ "劈劰嘌", "9erod20j" },
			{ "剪劒嗮", "ferrd20j" },
		}
		for _, sample in ipairs(samples) do
			local u_label, a_label = sample[1], "xn--" .. sample[2]
			it("Punycode of " .. u_label, function ()
				local cert = issue { names = { a_label .. ".example" } }
				assert.is_true(cert:matches(u_label .. ".example", "xmpp-client"))
				assert.is_false(cert:matches(u_label .. "ü.example", "xmpp-client"))
			end)
		end

		it("Punycode with more than 59 characters is refused, as RFC 3492 7.1 (H)", function ()
			local korean = "세계의모든사람들이한국어를이해한다면얼마나좋을까.example"
			assert.is_false(issue({ xmpp = { korean } }):matches(korean, "xmpp-client"))
		end)
	end)

	describe("cert.identity: matches()", function ()
		local cert

		setup(function ()
			cert = issue { names = { "example.com" } }
		end)

		it("refuses any other service", function ()
			assert.has_error(function ()
				cert:matches("example.com", "imap")
			end, "bad argument #2 to 'matches' (invalid option 'imap')")
			assert.has_error(function ()
				cert:matches("example.com", "_xmpp-client")
			end, "bad argument #2 to 'matches' (invalid option '_xmpp-client')")
		end)

		it("refuses a missing service", function ()
			assert.error_matches(function ()
				cert:matches("example.com")
			end, "^bad argument #2 to 'matches' %(string expected, got n")
		end)

		it("refuses a domain that is no string", function ()
			assert.error_matches(function ()
				cert:matches(nil, "xmpp-client")
			end, "^bad argument #1 to 'matches' %(string expected, got n")
			assert.error_matches(function ()
				cert:matches({}, "xmpp-client")
			end, "^bad argument #1 to 'matches' %(string expected, got table%)$")
		end)

		it("bears a certificate with very many names", function ()
			local names = {}
			for index = 1, 3000 do
				names[index] = ("n%d.example.com"):format(index)
			end
			local many = issue { names = names }
			assert.equal(3000, #many:facts().identities.dns)
			assert.is_true(many:matches("n3000.example.com", "xmpp-client"))
			assert.is_false(many:matches("n3001.example.com", "xmpp-client"))
		end)

		it("finds nothing in an extension that cannot be read", function ()
			local broken = issue { extensions = {
				"subjectAltName=DER:300F820B6578616D706C652E636F6D8205",
			} }
			assert.is_false(broken:matches("example.com", "xmpp-client"))
			assert.same({ dns = {}, srv = {}, xmpp = {}, malformed = 1 }, broken:facts().identities)
		end)

		it("rfc5280.4.2.extension-once: finds nothing where the extension is there twice", function ()
			-- The second is an issuerAltName, whose OID differs in one byte.
			local pem = authority:issue({ names = { "example.com" }, extensions = {
				"issuerAltName=DER:300D820B6578616D706C652E6F7267",
			} }).pem
			local der = pki.to_der(pem)
			assert.is_true(certificate.from_der(der):matches("example.com", "xmpp-client"))
			local twice = assert(certificate.from_der((der:gsub("\85\29\18", "\85\29\17"))))
			assert.is_false(twice:matches("example.com", "xmpp-client"))
			assert.is_false(twice:matches("example.org", "xmpp-client"))
			assert.same({ dns = {}, srv = {}, xmpp = {}, malformed = 1 }, twice:facts().identities)
		end)
	end)

	describe("facts", function ()
		-- What the openssl command says of it, one value.
		local function says(files, ...)
			local words = { "openssl", "x509", "-noout", "-in", files.own, ... }
			return (pki.run(words):gsub("^[^=]*=", "", 1):gsub("\n$", ""))
		end

		it("are those that the openssl command shows", function ()
			local files = authority:issue { subject = "/O=Größe, Ä/CN=example.com", names = { "example.com" } }
			local facts = certificate.from_pem(files.pem):facts()
			local forms = { "-nameopt", "rfc2253,-esc_msb,utf8" }
			assert.equal(says(files, "-subject", unpack(forms)), facts.subject)
			assert.equal(says(files, "-issuer", unpack(forms)), facts.issuer)
			assert.equal(says(files, "-serial"):lower(), facts.serial)
			assert.equal(says(files, "-fingerprint", "-sha256"):gsub(":", ""):lower(), facts.sha256)

			local public, der = pki.path(".pub"), pki.path(".der")
			pki.run { "openssl", "x509", "-noout", "-pubkey", "-in", files.own, "-out", public }
			public = pki.write(pki.run { "openssl", "x509", "-noout", "-pubkey", "-in", files.own })
			pki.run { "openssl", "pkey", "-pubin", "-in", public, "-outform", "DER", "-out", der }
			local digest = pki.run { "openssl", "dgst", "-sha256", "-r", der }
			assert.equal(digest:match("^%x+"), facts.spki_sha256)
		end)

		it("hold the whole of a usual certificate", function ()
			local files = authority:issue {
				common_name = "example.com",
				names = { "example.com", "*.example.com" },
				srv = { "_xmpp-client.example.com", "_XMPP-Server.Example.com" },
				xmpp = { "example.com", "müller.example", "juliet@example.com/balcony" },
				key = "rsa2048",
				not_before = "20240229120000Z",
				not_after = "20380119031408Z",
				extended_key_usages = { "serverAuth", "clientAuth", "1.2.3.4", "codeSigning" },
			}
			local facts = certificate.from_pem(files.pem):facts()
			assert.same({
				subject = "CN=example.com",
				issuer = says(files, "-issuer", "-nameopt", "rfc2253"),
				serial = says(files, "-serial"):lower(),
				not_before = 1709208000,
				not_after = 2147483648,
				key_type = "RSA",
				key_bits = 2048,
				signature_algorithm = "ecdsa-with-SHA256",
				signature_digest = "SHA256",
				sha256 = facts.sha256,
				spki_sha256 = facts.spki_sha256,
				extended_key_usages = {
					"serverAuth", "clientAuth", "1.2.3.4", "1.3.6.1.5.5.7.3.3",
				},
				identities = {
					dns = { "example.com", "*.example.com" },
					srv = {
						{ service = "xmpp-client", name = "example.com" },
						{ service = "xmpp-server", name = "Example.com" },
					},
					xmpp = { "example.com", "müller.example", "juliet@example.com/balcony" },
				},
				self_issued = false,
				ca = false,
			}, facts)
			assert.matches("^%x+$", facts.sha256)
			assert.equal(64, #facts.sha256)
			assert.equal(64, #facts.spki_sha256)
			assert.not_equal(facts.sha256, facts.spki_sha256)
		end)

		it("tell whether it is an authority, and whether it issued itself", function ()
			local root = certificate.from_pem(authority.pem):facts()
			assert.is_true(root.ca)
			assert.is_true(root.self_issued)
			local below = certificate.from_pem(authority:intermediate().pem):facts()
			assert.is_true(below.ca)
			assert.is_false(below.self_issued)
			local alone = certificate.from_pem(pki.self_signed({}).pem):facts()
			assert.is_false(alone.ca)
			assert.is_true(alone.self_issued)
			-- rfc5280.3.2.self-issued-by-name, whoever's key signed.
			local same = pki.authority({ common_name = "Same" }):issue { common_name = "Same" }
			assert.is_true(certificate.from_pem(same.pem):facts().self_issued)
		end)

		it("leave out fields that the certificate does not have", function ()
			local facts = certificate.from_pem(pki.self_signed({ subject = "/" }).pem):facts()
			assert.is_nil(facts.subject)
			assert.is_nil(facts.issuer)
			assert.is_nil(facts.extended_key_usages)
			assert.same({ dns = {}, srv = {}, xmpp = {} }, facts.identities)
		end)

		local keys = {
			{ "rsa1024", "RSA", 1024 },
			{ "rsa2048", "RSA", 2048 },
			{ "p256", "EC", 256, "secp256r1" },
			{ "p384", "EC", 384, "secp384r1" },
			{ "p521", "EC", 521, "secp521r1" },
			{ "ed25519", "ED25519", 256 },
		}
		for _, case in ipairs(keys) do
			local kind, key_type, bits, curve = unpack(case, 1, 4)
			it("name the key " .. kind, function ()
				local facts = issue({ key = kind }):facts()
				assert.equal(key_type, facts.key_type)
				assert.equal(bits, facts.key_bits)
				assert.equal(curve, facts.curve)
			end)
		end

		local signatures = {
			{ "sha256WithRSAEncryption", "SHA256", { key = "rsa2048", digest = "sha256" } },
			{ "sha384WithRSAEncryption", "SHA384", { key = "rsa2048", digest = "sha384" } },
			{ "sha1WithRSAEncryption", "SHA1", { key = "rsa2048", digest = "sha1" } },
			{ "md5WithRSAEncryption", "MD5", { key = "rsa2048", digest = "md5" } },
			{ "ecdsa-with-SHA512", "SHA512", { key = "p256", digest = "sha512" } },
			{ "rsassaPss", "SHA512", { key = "rsa2048", digest = "sha512",
				signature_options = { "rsa_padding_mode:pss" } } },
			{ "ED25519", nil, { key = "ed25519" } },
		}
		for _, case in ipairs(signatures) do
			local algorithm, digest, options = unpack(case, 1, 3)
			it(("name the signature %s with %s"):format(algorithm, tostring(digest)), function ()
				local facts = certificate.from_pem(pki.self_signed(options).pem):facts()
				assert.equal(algorithm, facts.signature_algorithm)
				assert.equal(digest, facts.signature_digest)
			end)
		end

		it("give the number of an algorithm that OpenSSL has no name for", function ()
			local der = pki.to_der(pki.self_signed({ key = "ed25519" }).pem)
			local unknown = assert(certificate.from_der((der:gsub("\6\3%+ep", "\6\3+e\127"))))
			local facts = unknown:facts()
			assert.equal("1.3.101.127", facts.key_type)
			assert.is_nil(facts.key_bits)
			assert.equal("1.3.101.127", facts.signature_algorithm)
			assert.is_nil(facts.signature_digest)
			assert.equal(64, #facts.spki_sha256)
		end)

		local times = {
			{ "19500101000000Z", -631152000 },
			{ "19700101000000Z", 0 },
			{ "19991231235959Z", 946684799 },
			{ "20000229000000Z", 951782400 },
			{ "20380119031407Z", 2147483647 },
			{ "20380119031408Z", 2147483648 },
			{ "20491231235959Z", 2524607999 },
			{ "20500101000000Z", 2524608000 },
			{ "21060207062816Z", 4294967296 },
			{ "99991231235959Z", 253402300799 }, -- rfc5280.4.1.2.5.no-end
		}
		for _, case in ipairs(times) do
			local written, seconds = case[1], case[2]
			it("count the seconds to " .. written, function ()
				local facts = issue({ not_before = written, not_after = written }):facts()
				assert.equal(seconds, facts.not_before)
				assert.equal(seconds, facts.not_after)
			end)
		end

		it("leave out a time that is none", function ()
			local der = pki.to_der(authority:issue({ not_after = "20500101000000Z" }).pem)
			local cert = assert(certificate.from_der((der:gsub("20500101000000Z", "20501301000000Z"))))
			assert.is_nil(cert:facts().not_after)
			assert.is_number(cert:facts().not_before)
		end)

		it("show a serial number below zero", function ()
			local version = "\160\3\2\1\2" -- the serial number follows
			local der = pki.to_der(authority:issue({}).pem)
			local first = select(2, assert(der:find(version, 1, true))) + 3
			local negative = der:sub(1, first - 1) .. "\254" .. der:sub(first + 1)
			assert.matches("^%-%x+$", certificate.from_der(negative):facts().serial)
		end)

		-- rfc5280.4.2.1.12.only-listed-usages
		it("permit nothing by usages that cannot be read", function ()
			local cert = issue { extensions = { "extendedKeyUsage=DER:0500" } }
			assert.same({}, cert:facts().extended_key_usages)
		end)

		it("escape control characters in names", function ()
			local der = pki.to_der(pki.self_signed({ subject = "/CN=a?b" }).pem)
			local cert = assert(certificate.from_der((der:gsub("a%?b", "a\27b"))))
			assert.equal("CN=a\\1Bb", cert:facts().subject)
		end)

		local malformed = {
			{ "a NUL in a DNS-ID", { names = { "example.com\0.evil.example" } } },
			{ "a line feed in a DNS-ID", { names = { "example.com\n" } } },
			{ "UTF-8 in a DNS-ID", { names = { "müller.example" } } },
			{ "a partial wildcard", { names = { "f*.example.com" } } },
			{ "a wildcard that is not left-most", { names = { "im.*.com" } } },
			{ "an IP address as DNS-ID", { names = { "192.0.2.1" } } },
			{ "an empty DNS-ID", { names = { "" } } },
			{ "a NUL in an SRV-ID", { srv = { "_xmpp-client.example.com\0" } } },
			{ "an SRV-ID without a service", { srv = { "example.com" } } },
			{ "an SRV-ID without a domain", { srv = { "_xmpp-client" } } },
			{ "an empty SRV-ID", { srv = { "" } } },
			{ "a NUL in an XmppAddr", { xmpp = { "example.com\0" } } },
			{ "an escape character in an XmppAddr", { xmpp = { "example.com/\27[2J" } } },
			{ "DEL in an XmppAddr", { xmpp = { "example.com/\127" } } },
			{ "a control character above ASCII in an XmppAddr", { xmpp = { "example.com/\194\155" } } },
			{ "a character that turns the writing in an XmppAddr",
				{ xmpp = { "example.com/\226\128\174" } } },
			{ "malformed UTF-8 in an XmppAddr", { xmpp = { "m\252ller@example.com" } } },
			{ "a surrogate in an XmppAddr", { xmpp = { "a\237\160\128@example.com" } } },
			{ "an empty XmppAddr", { xmpp = { "" } } },
			{ "an XmppAddr of another type", { alternative_names = {
				pki.other_name(pki.id_on_xmppaddr, pki.der(0x16, "example.com")) } } },
			{ "an SRV-ID of another type", { alternative_names = {
				pki.other_name(pki.id_on_dnssrv, pki.der(0x0C, "_xmpp-client.example.com")) } } },
		}
		for _, case in ipairs(malformed) do
			it("count as malformed " .. case[1], function ()
				local identities = issue(case[2]):facts().identities
				assert.same({ dns = {}, srv = {}, xmpp = {}, malformed = 1 }, identities)
			end)
		end

		it("list the good identities beside the malformed", function ()
			local identities = issue({
				names = { "bad\0.example", "example.com", "" },
				xmpp = { "\255", "example.com" },
			}):facts().identities
			assert.same({
				dns = { "example.com" },
				srv = {},
				xmpp = { "example.com" },
				malformed = 3,
			}, identities)
		end)
	end)

	-- rfc7468.3.between-the-lines
	describe("reading", function ()
		local pem, der, key

		setup(function ()
			local files = authority:issue { names = { "example.com" } }
			pem, der, key = files.pem, pki.to_der(files.pem), pki.read(files.key)
		end)

		local function check_failure(message, read, text)
			local cert, failure, code = read(text)
			assert.is_nil(cert)
			assert.equal(message, failure:sub(1, #message))
			assert.equal("parse", code)
		end

		local NO_BEGIN = 'no line "-----BEGIN CERTIFICATE-----"'
		local NO_END = 'certificate ends without a line "-----END CERTIFICATE-----"'
		local NOT_BASE64 = "certificate is not valid base64"
		local NOT_PARSED = "certificate cannot be parsed"

		it("gives back the same certificate in both forms", function ()
			for _, cert in ipairs { certificate.from_pem(pem), certificate.from_der(der) } do
				assert.equal(pem, cert:pem())
				assert.equal(der, cert:der())
			end
		end)

		local accepted = {
			{ "text before and after it", function () return "Issuer: x\n" .. pem .. "the end\n" end },
			{ "lines that end as in Windows", function () return (pem:gsub("\n", "\r\n")) end },
			{ "no line feed at its end", function () return (pem:gsub("\n$", "")) end },
			{ "a private key before it", function () return key .. pem end },
			{ "a broken private key before it", function () return pki.truncated(key) .. "\n" .. pem end },
			{ "a second certificate", function () return pem .. authority.pem end },
			{ "something broken after it", function () return pem .. pki.truncated(pem) end },
		}
		for _, case in ipairs(accepted) do
			it("takes a PEM text with " .. case[1], function ()
				assert.equal(der, assert(certificate.from_pem(case[2]())):der())
			end)
		end

		local refused = {
			{ "nothing", NO_BEGIN, function () return "" end },
			{ "something else", NO_BEGIN, function () return "This is not a certificate.\n" end },
			{ "a private key alone", NO_BEGIN, function () return key end },
			{ "DER", NO_BEGIN, function () return der end },
			{ "the first line not at the beginning of a line", NO_BEGIN,
				function () return " " .. pem end },
			{ "the first line alone", NO_END, function () return pem:match("^[^\n]*\n") end },
			{ "half a certificate", NO_END, function () return pki.truncated(pem) end },
			{ "half a certificate before a whole one", NO_END,
				function () return pki.truncated(pem) .. "\n" .. pem end },
			{ "a certificate without its end before a key", NO_END,
				function () return pem:gsub("%-%-%-%-%-END.*", "") .. key end },
			{ "the end of something else", NO_END,
				function () return (pem:gsub("END CERTIFICATE", "END PRIVATE KEY")) end },
			{ "a line of something else", NOT_BASE64,
				function () return (pem:gsub("\n", "\n!\n", 1)) end },
			{ "a NUL", NOT_BASE64, function () return (pem:gsub("\n", "\n\0", 1)) end },
			{ "a header of encryption", NOT_BASE64,
				function () return (pem:gsub("\n", "\nProc-Type: 4,ENCRYPTED\n\n", 1)) end },
			{ "no content", NOT_PARSED, function ()
				return "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
			end },
			{ "something else encoded", NOT_PARSED, function ()
				return "-----BEGIN CERTIFICATE-----\nAAECAwQF\n-----END CERTIFICATE-----\n"
			end },
			{ "a certificate followed by bytes", "certificate is followed by 3 more bytes", function ()
				local encoded = pki.run({ "openssl", "base64", "-e" }, pki.write(der .. "\0\0\0"))
				return "-----BEGIN CERTIFICATE-----\n" .. encoded .. "-----END CERTIFICATE-----\n"
			end },
			{ "more than a MiB", "certificate is larger than 1048576 bytes", function ()
				return pem .. ("x"):rep(1024 * 1024 - #pem + 1)
			end },
		}
		for _, case in ipairs(refused) do
			it("refuses a PEM text with " .. case[1], function ()
				check_failure(case[2], certificate.from_pem, case[3]())
			end)
		end

		it("takes a PEM text of a MiB", function ()
			assert(certificate.from_pem(pem .. ("x"):rep(1024 * 1024 - #pem)))
		end)

		it("refuses DER followed by a byte", function ()
			check_failure("certificate is followed by 1 more bytes", certificate.from_der, der .. "\0")
		end)

		it("refuses two certificates in DER", function ()
			check_failure("certificate is followed by", certificate.from_der, der .. der)
		end)

		it("refuses more than a MiB of DER", function ()
			check_failure("certificate is larger than 1048576 bytes", certificate.from_der,
				("\0"):rep(1024 * 1024 + 1))
		end)

		it("refuses PEM as DER", function ()
			check_failure(NOT_PARSED, certificate.from_der, pem)
		end)

		it("refuses DER that is cut off anywhere", function ()
			for length = 0, #der - 1 do
				check_failure(NOT_PARSED, certificate.from_der, der:sub(1, length))
			end
		end)

		it("bears DER with any byte changed", function ()
			for index = 1, #der do
				for _, byte in ipairs { "\0", "\1", "\127", "\128", "\255" } do
					local cert = certificate.from_der(der:sub(1, index - 1) .. byte .. der:sub(index + 1))
					if cert then
						assert.is_table(cert:facts().identities)
						assert.is_boolean(cert:matches("example.com", "xmpp-client"))
						assert.is_string(cert:der())
					end
				end
			end
		end)

		it("raises an error for an argument that is no string", function ()
			assert.has_error(function ()
				certificate.from_pem({})
			end, "bad argument #1 to 'from_pem' (string expected, got table)")
			assert.has_error(function ()
				certificate.from_der(true)
			end, "bad argument #1 to 'from_der' (string expected, got boolean)")
		end)

		it("leaves no old error of OpenSSL in a message", function ()
			certificate.from_der("x")
			local _, message = certificate.from_pem("")
			assert.equal(NO_BEGIN, message)
		end)
	end)

	-- The other specs rely on it.
	describe("support.pki", function ()
		local function verify(files)
			return pki.run { "openssl", "verify", "-CAfile", authority.certificate,
				"-untrusted", files.certificate, files.own }
		end

		it("makes chains that the openssl command verifies", function ()
			local names = { names = { "example.com" }, key = "rsa2048" }
			assert.matches(": OK\n$", verify(authority:issue(names)))
			local chain = authority:intermediate():intermediate():issue(names)
			assert.matches(": OK\n$", verify(chain))
			assert.equal(3, select(2, chain.pem:gsub("BEGIN CERTIFICATE", "")))
		end)

		it("makes names that the openssl command reads", function ()
			local files = authority:issue {
				names = { "example.com" },
				srv = { "_xmpp-client.example.com" },
				xmpp = { "example.com" },
			}
			local shown = pki.run { "openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", files.own }
			assert.matches("DNS:example.com", shown, 1, true)
			assert.matches("SRVName::?_xmpp%-client.example.com", shown)
			assert.matches("XmppAddr::?example.com", shown)
		end)

		it("makes certificates that have expired or are not valid yet", function ()
			assert.error_matches(function ()
				verify(authority:issue { expired = true })
			end, "certificate has expired")
			assert.error_matches(function ()
				verify(authority:issue { not_before = os.time() + 86400 })
			end, "certificate is not yet valid")
		end)

		it("says why a command failed", function ()
			assert.error_matches(function ()
				pki.run { "openssl", "x509", "-in", "it's missing" }
			end, "^.*'openssl' 'x509' '%-in' 'it'\\''s missing' failed: .*No such file")
			assert.error_matches(function ()
				authority:issue { name = "example.com" }
			end, "unknown option name")
		end)

		it("removes the files that it made", function ()
			local path = pki.directory()
			pki.remove()
			assert.is_nil(io.open(path .. "/stdout"))
			authority = pki.authority()
		end)
	end)

	describe("object", function ()
		local pem

		setup(function ()
			pem = authority:issue({ names = { "example.com" } }).pem
		end)

		local uses = {
			facts = {},
			matches = { "example.com", "xmpp-client" },
			pem = {},
			der = {},
		}
		for method, arguments in pairs(uses) do
			it("is refused by " .. method .. " when it is closed", function ()
				local cert = certificate.from_pem(pem)
				cert:close()
				assert.has_error(function ()
					cert[method](cert, unpack(arguments))
				end, CLOSED)
			end)

			it("of another type is refused by " .. method, function ()
				local call = certificate.from_pem(pem)[method]
				for _, other in ipairs { io.stdout, {}, "x", 1 } do
					assert.error_matches(function ()
						call(other, unpack(arguments))
					end, "xmpp_tls_policy.Certificate expected")
				end
			end)
		end

		it("can be closed twice", function ()
			local cert = certificate.from_pem(pem)
			assert.is_nil(cert:close())
			assert.is_nil(cert:close())
		end)

		it("names itself by its digest", function ()
			local cert = certificate.from_pem(pem)
			assert.equal("certificate " .. cert:facts().sha256, tostring(cert))
			cert:close()
			assert.equal("certificate (closed)", tostring(cert))
		end)

		it("hides its metatable", function ()
			assert.equal("locked", getmetatable(certificate.from_pem(pem)))
		end)

		it("is freed by the collector, closed or not", function ()
			collectgarbage()
			collectgarbage()
			local before = collectgarbage "count"
			for round = 1, 2000 do
				local cert = certificate.from_pem(pem)
				if round % 3 == 0 then
					cert:close()
				elseif round % 3 == 1 then
					cert:facts()
				end
				if round % 100 == 0 then
					collectgarbage()
				end
			end
			collectgarbage()
			-- In kB. Busted's own memory grows with each spec before.
			assert.is_true(collectgarbage "count" - before < 1000)
		end)

		it("bears facts that are taken while the collector runs at each step", function ()
			local cert = certificate.from_pem(pem)
			local expected = cert:facts()
			local pause, multiplier = collector_pace.set(1, 10000)
			for _ = 1, 200 do
				assert.same(expected, cert:facts())
			end
			collector_pace.set(pause, multiplier)
		end)

		if _VERSION >= "Lua 5.4" then
			it("is closed at the end of its block", function ()
				local kept = assert(load([[
					local certificate, pem = ...
					local kept
					do
						local cert <close> = certificate.from_pem(pem)
						kept = cert
					end
					return kept
				]]))(certificate, pem)
				assert.has_error(function () kept:facts() end, CLOSED)
			end)
		end
	end)
end)
