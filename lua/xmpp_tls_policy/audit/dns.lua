--- Look-ups in DNS, for tasks, with libunbound, which also validates DNSSEC. Name servers may lie, say nothing, or
-- send garbage: each look-up ends at its deadline, and each answer is checked and bounded.
local tasks = require "xmpp_tls_policy.audit.tasks"
local text = require "xmpp_tls_policy.text"
local lunbound = require "lunbound"
local uv = require "luv"

local dns = {}

local methods = {}
local metatable = { __index = methods }

-- Records of an answer that are kept.
local MOST_RECORDS = 32

-- RFC 1035's class IN, and the numbers of types.
local IN = 1
local types = { A = 1, AAAA = 28, SRV = 33, TLSA = 52, CAA = 257 }

--- Where systems keep the key of DNS's root. Debian: the packages dns-root-data and unbound.
dns.trust_files = { "/usr/share/dns/root.key", "/var/lib/unbound/root.key", "/etc/unbound/root.key" }

-- ---- records -------------------------------------------------------------------------

local function number(bytes, position)
	local high, low = bytes:byte(position, position + 1)
	return low and high * 256 + low
end

-- The host name that an answer has at a position, in small letters and without the last dot ("" for the root);
-- nil if it is none, or has other characters than those of host names (RFC 1035).
local function host_name(bytes, position)
	local labels, length = {}, 0
	while true do
		local size = bytes:byte(position)
		if size == 0 then
			return position == #bytes and table.concat(labels, ".") or nil
		end
		local label = size and size < 64 and bytes:sub(position + 1, position + size)
		length = length + (size or 0) + 1
		if not label or #label < size or length > 254 or label:find "[^%w_-]" then
			return nil
		end
		labels[#labels + 1], position = label:lower(), position + size + 1
	end
end

-- IPv6 as text, in its short form (rfc5952.4.short-form).
local function ipv6(bytes)
	local groups, first, longest = {}, 0, 1
	for index = 1, 8 do
		groups[index] = ("%x"):format(number(bytes, 2 * index - 1))
	end
	for from = 1, 8 do
		local to = from
		while groups[to] == "0" do
			to = to + 1
		end
		if to - from > longest then
			first, longest = from, to - from
		end
	end
	if first == 0 then
		return table.concat(groups, ":")
	end
	return table.concat(groups, ":", 1, first - 1) .. "::" .. table.concat(groups, ":", first + longest)
end

-- Type -> function(bytes) -> record, or nil for bytes that are none.
local parsers = {
	A = function (bytes)
		return #bytes == 4 and ("%d.%d.%d.%d"):format(bytes:byte(1, 4)) or nil
	end,
	AAAA = function (bytes)
		return #bytes == 16 and ipv6(bytes) or nil
	end,
	-- RFC 2782
	SRV = function (bytes)
		local target = #bytes >= 7 and host_name(bytes, 7)
		return target and {
			priority = number(bytes, 1), weight = number(bytes, 3), port = number(bytes, 5), target = target,
		} or nil
	end,
	-- Others parse these.
	TLSA = function (bytes) return bytes end,
	CAA = function (bytes) return bytes end,
}

--- The record of a type that bytes are, as lookup() returns it; or nil.
function dns.parse(type_name, bytes)
	return parsers[type_name](bytes)
end

-- ---- contexts of libunbound ---------------------------------------------------------

local function readable(path)
	local file = io.open(path)
	return file and file:close() and path or nil
end

local function first_trust_file()
	for _, path in ipairs(dns.trust_files) do
		if readable(path) then
			return path
		end
	end
end

-- A context, and what is needed to wait for its answers.
local function new_source(options, trust_file)
	local context = lunbound.new {
		async = true, hoststxt = false, trustfile = trust_file,
		resolvconf = not options.servers and (options.resolv_conf or true) or false,
		forward = options.servers,
		-- The resolver of a machine may be on the machine.
		options = { ["do-not-query-localhost:"] = "no" },
	}
	local source = { context = context, answers = {}, waiting = 0 }
	source.poll = uv.new_poll(context:getfd())
	return source
end

-- Hands over what has been answered. A callback of libunbound only keeps its answer: a task that it resumed
-- could call libunbound again, from within.
local function process(source)
	source.context:process()
	local answers = source.answers
	source.answers = {}
	for _, answer in ipairs(answers) do
		answer.resume(answer.result, answer.problem)
	end
end

-- Listens for answers as long as a task waits for one.
local function add_waiting(source, count)
	source.waiting = source.waiting + count
	if source.waiting == 1 and count == 1 then
		source.poll:start("r", function ()
			process(source)
		end)
	elseif source.waiting == 0 then
		source.poll:stop()
	end
end

-- Returns libunbound's answer; or nil, kind, message.
local function query(source, name, type_name, deadline)
	local stop, cancel
	add_waiting(source, 1)
	local answer, problem = tasks.wait(function (resume)
		stop = tasks.after(deadline - tasks.now(), function ()
			cancel()
			resume(nil, "timeout")
		end)
		local handle, message = source.context:resolve_async(function (result, failure)
			source.answers[#source.answers + 1] = { resume = resume, result = result, problem = failure }
		end, name, types[type_name], IN)
		function cancel()
			source.context:cancel(handle)
		end
		if not handle then
			resume(nil, message)
		end
	end)
	stop()
	add_waiting(source, -1)
	if answer then
		return answer
	elseif problem == "timeout" then
		return nil, "timeout", "the name servers did not answer in time"
	end
	return nil, "failed", text.shown(tostring(problem))
end

-- ---- look-ups -----------------------------------------------------------------------

--- A resolver. `options`:
--   servers        addresses of name servers, such as "192.0.2.1" or "192.0.2.1@5353"; nil: the system's
--   resolv_conf    another file than /etc/resolv.conf
--   trust_file     a file with trust anchors (DNSKEY or DS records); nil: the first of dns.trust_files that there is
-- Returns nil and a message if the file cannot be read, or a server is no address.
function dns.new(options)
	options = options or {}
	local trust_file = options.trust_file or first_trust_file()
	if trust_file and not readable(trust_file) then
		return nil, ("the file of trust anchors, %s, cannot be read"):format(trust_file)
	end
	-- lunbound throws what libunbound does not take.
	local made, source = pcall(new_source, options, trust_file)
	if not made then
		return nil, ("libunbound does not take the name servers %s: %s"):format(
			text.quoted_list(options.servers or { options.resolv_conf or "of the system" }), text.shown(tostring(source)))
	end
	return setmetatable({ _validates = trust_file ~= nil, _source = source }, metatable)
end

--- Whether it has a trust anchor. Without one, the status of all answers is "unknown".
function methods:validates()
	return self._validates
end

-- The records of an answer; those that are none are left out.
local function records_of(answer, type_name)
	local records = {}
	for index = 1, math.min(#answer, MOST_RECORDS) do
		records[#records + 1] = parsers[type_name](answer[index])
	end
	return records, #answer - #records
end

-- A result of look-up from libunbound's answer.
local function result_of(self, answer, name, type_name)
	local records, left_out = records_of(answer, type_name)
	return {
		name = name, type = type_name, records = records, left_out = left_out, exists = not answer.nxdomain,
		dnssec = not self._validates and "unknown" or answer.secure and "secure" or answer.bogus and "bogus" or "insecure",
		reason = type(answer.bogus) == "string" and text.shown(answer.bogus:sub(1, 300)) or nil,
	}
end

-- RFC 1035's response codes.
local NO_ERROR, NO_SUCH_NAME = 0, 3
local codes = { [1] = "format error", [2] = "server failure", [4] = "not implemented", [5] = "refused" }

--- Looks up records. `type_name`: "A", "AAAA", "SRV", "TLSA", "CAA"; the deadline in seconds of tasks.now().
-- Returns { name, type, records, left_out = the number of those that are malformed or too many, exists = whether the
-- name does, dnssec = "secure", "insecure", "bogus" or "unknown", reason = why it is bogus }; or nil, kind
-- ("timeout", "failed"), message. The records: addresses as text; { priority, weight, port, target } of SRV
-- ("" for the target "."); the bytes of TLSA and CAA. Those of a bogus answer are shown
-- nevertheless: a client that does not validate uses them.
function methods:lookup(name, type_name, deadline)
	local answer, kind, message = query(self._source, name, type_name, deadline)
	if not answer then
		return nil, kind, message
	elseif answer.rcode ~= NO_ERROR and answer.rcode ~= NO_SUCH_NAME then
		return nil, "failed", "the name servers answered: " .. (codes[answer.rcode] or ("code %d"):format(answer.rcode))
	end
	return result_of(self, answer, name, type_name)
end

--- Ends it. No look-up may be under way.
function methods:close()
	if not self._source.poll:is_closing() then
		self._source.poll:close()
	end
end

--- The text of a record, for people.
function dns.record_text(type_name, record)
	if type_name == "SRV" then
		return ("%d %d %d %s"):format(record.priority, record.weight, record.port,
			record.target == "" and "." or record.target)
	elseif type_name == "TLSA" or type_name == "CAA" then
		return (record:sub(1, 200):gsub(".", function (byte)
			return ("%02x"):format(byte:byte())
		end))
	end
	return record
end

return dns
