--- The versions of TLS that an endpoint accepts: one hello for each, which offers nothing newer. The
-- answers also tell two extensions and the compression of TLS 1.2 and older.
local hello_lists = require "xmpp_tls_policy.audit.hello_lists"
local observations = require "xmpp_tls_policy.audit.observations"
local question = require "xmpp_tls_policy.audit.question"
local tasks = require "xmpp_tls_policy.audit.tasks"

local versions = { name = "versions" }

local RENEGOTIATION_INFO, EXTENDED_MASTER_SECRET = 0xFF01, 23

-- A list with one more entry.
local function with(list, entry)
	local longer = { entry }
	for index, other in ipairs(list) do
		longer[index + 1] = other
	end
	return longer
end

-- OpenSSL makes no signature of TLS 1.1 and older at its usual security level. RSA key transport needs
-- none.
local WITHOUT_SIGNATURE = { "^TLS_E?C?DHE?_" }

--- Version -> the offer of its hello.
versions.offers = {
	SSLv2 = { suites = hello_lists.sslv2 },
	-- A hello of SSLv3 has no extensions (rfc5746.3.signalling-suite).
	SSLv3 = { suites = with(hello_lists.before_tls12, "TLS_EMPTY_RENEGOTIATION_INFO_SCSV") },
	TLSv1 = { suites = hello_lists.before_tls12, groups = hello_lists.old_groups },
	["TLSv1.1"] = { suites = hello_lists.before_tls12, groups = hello_lists.old_groups },
	["TLSv1.2"] = { suites = hello_lists.tls12, groups = hello_lists.old_groups },
	["TLSv1.3"] = {
		version = "TLSv1.2", versions = { "TLSv1.3" }, suites = hello_lists.tls13, groups = hello_lists.groups,
		key_shares = "",
	},
}
for version, offer in pairs(versions.offers) do
	offer.version = offer.version or version
	offer.compressions = not offer.versions and version ~= "SSLv2" and { "deflate", "null" } or nil
end

-- Oldest first; those before TLS 1.3 have the extensions.
local order = { "SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3" }

-- The value: the choice, and the suites that it was made from.
local function observe_version(version, answer, reason)
	if not answer then
		return observations.untested(reason)
	end
	local seen = question.is_accepted(answer) and answer.version == version
	return observations.made(seen, question.evidence(answer), seen and {
		suite = answer.suite, group = answer.group, dhe_bits = answer.dhe_bits,
		offered = answer.narrowed or versions.offers[version].suites,
	} or nil)
end

-- The newest answer of a version before TLS 1.3 that was accepted.
local function newest_old_answer(answers, observed)
	for index = #order - 1, 2, -1 do
		local version = order[index]
		if observed["version." .. version].seen then
			return answers[version]
		end
	end
end

--- Whether TLS 1.3 is accepted, and TLS 1.2 was refused. One that was not answered may be accepted. `observed`: the
-- versions.
function versions.is_tls13_alone(observed)
	return observed["version.TLSv1.3"].seen == true and observed["version.TLSv1.2"].seen == false
end

--- Why nothing is known of older versions, where none was accepted and versions.is_tls13_alone does not hold.
function versions.why_untested(observed)
	return observed["version.TLSv1.3"].seen and "TLS 1.2 was not tested" or "no version of TLS was accepted"
end

-- rfc8446.D.ems-built-in, rfc8446.4.1.2.no-renegotiation
local function observe_extensions(answers, observed)
	local answer = newest_old_answer(answers, observed)
	local function observe(name, number, with_tls13)
		if answer then
			local has = answer.extensions[number] ~= nil
			observed[name] = observations.made(has, ("the ServerHello of %s %s the extension"):format(answer.version,
				has and "has" or "does not have"))
		elseif versions.is_tls13_alone(observed) then
			observed[name] = observations.made(true, "TLS 1.3 alone is accepted, " .. with_tls13)
		else
			observed[name] = observations.untested(versions.why_untested(observed))
		end
	end
	observe("renegotiation.secure", RENEGOTIATION_INFO, "which has no renegotiation")
	observe("extended_master_secret", EXTENDED_MASTER_SECRET, "into which it is built")
end

-- One choice of a compression is enough for a yes.
local function observe_compression(answers, observed)
	local sentences, seen = {}, nil
	for index = #order - 1, 2, -1 do
		local version = order[index]
		if observed["version." .. version].seen then
			local compression = answers[version].compression
			seen = compression ~= "null" or seen or false
			sentences[#sentences + 1] = ("%s: chose the compression %s of deflate and null"):format(version, compression)
		end
	end
	if seen ~= nil then
		observed.compression = observations.made(seen, table.concat(sentences, "; "))
	elseif versions.is_tls13_alone(observed) then
		observed.compression = observations.made(false, "TLS 1.3 alone is accepted, which has no compression")
	else
		observed.compression = observations.untested(versions.why_untested(observed))
	end
end

--- Makes the observations of the versions, and of extensions and compression.
function versions.run(endpoint, observed)
	local answers, reasons, functions = {}, {}, {}
	for index, version in ipairs(order) do
		functions[index] = function ()
			answers[version], reasons[version] = question.ask(endpoint, versions.offers[version], WITHOUT_SIGNATURE)
		end
	end
	tasks.all(functions)
	for _, version in ipairs(order) do
		observed["version." .. version] = observe_version(version, answers[version], reasons[version])
	end
	observe_extensions(answers, observed)
	observe_compression(answers, observed)
end

return versions
