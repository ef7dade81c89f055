--- The policies of our hosts, as the configuration has them.
local configuration_log = require "xmpp_tls_policy.configuration_log"
local exceptions = require "xmpp_tls_policy.policy.exceptions"
local options = require "xmpp_tls_policy.policy.options"
local policy_of_options = require "xmpp_tls_policy.policy".of
local text = require "xmpp_tls_policy.text"

local policies = {}

local methods = {}
local metatable = { __index = methods }

--- For one load of the module. `server`: the adapter; `kept`: the policies of the load before, or
-- nil. They hold until the options are read.
function policies.new(given)
	local kept = given.kept
	return setmetatable({
		_server = given.server,
		_log = configuration_log.new(given.server),
		_policies = kept and kept._policies or {}, -- host -> policy; "*": for all others
		_read = kept and kept._read or {}, -- see policy_of_host
		_known = kept and kept._known or setmetatable({}, { __mode = "v" }), -- see policy_of
		_accounts = setmetatable({}, { __mode = "k" }), -- exception -> its accounts as the server has them, a set
		_warned = {}, -- messages about exceptions that were logged since the options were read
		_errors = {}, -- host -> list of the errors in its own options, see errors
		number = kept and kept.number or 0, -- changes whenever the policy for some host becomes another one
	}, metatable)
end

---- Options -------------------------------------------------------------------

-- An operator's table may hold anything, itself included. Deeper than options go, tables count as
-- different, and are checked.
local DEEPEST = 6

-- Whether two values are the same, or tables of the same, without metamethods.
local function is_same(a, b, depth)
	if rawequal(a, b) then
		return true
	elseif type(a) ~= "table" or type(b) ~= "table" or depth > DEEPEST then
		return false
	end
	for key, value in next, a do
		if not is_same(value, rawget(b, key), depth + 1) then
			return false
		end
	end
	for key in next, b do
		if rawget(a, key) == nil then
			return false
		end
	end
	return true
end

-- The policy of checked options: the same object while it is used and the options come to the same.
local function policy_of(self, checked)
	local key = options.fingerprint(checked)
	local policy = self._known[key]
	if not policy then
		policy = policy_of_options(checked)
		self._known[key] = policy
	end
	return policy
end

local function named(host)
	return host == "*" and "all hosts" or host
end

local function described(policy)
	return policy:name() .. (policy.mode == "report" and ", in report mode" or "")
end

local function put_in_force(self, host, policy)
	local before = self._policies[host]
	if before == policy then
		return
	end
	if not before and host ~= "*" then
		-- Hosts come one after the other at the start, and most have the same policy.
		self._log:add("info", host, described(policy))
	elseif not before or described(before) ~= described(policy) then
		self._server.log("*", "info", "%s: %s", named(host), described(policy))
	end
	if (before or self._policies["*"]) ~= policy then
		self.number = self.number + 1
	end
	self._policies[host] = policy
end

-- Keeps and logs each error, and the value that is in force instead of it.
local function note_errors(self, host, errors, policy, stays)
	self._errors[host] = {}
	for index, problem in ipairs(errors) do
		local instead = options.in_force_instead(problem, policy, stays)
		local message = problem.message .. (instead and "; in force: " .. instead or "")
		self._errors[host][index] = { option = problem.option, message = message, unopened = problem.unopened }
		self._server.log("*", "error", "%s: %s", host == "*" and "configuration" or host, message)
	end
end

-- A wrong option never makes a policy weaker: the policy of before stays. At the start the valid
-- options hold; options.lua says what takes the place of the wrong ones. `wrong_elsewhere`: whether
-- there are errors in the options for all.
local function put_repaired(self, host, repaired, errors, wrong_elsewhere)
	local before = self._policies[host]
	local policy = before or policy_of(self, repaired)
	note_errors(self, host, errors, policy, before ~= nil)
	if errors[1] or wrong_elsewhere then
		self._server.log("*", "error", "%s: because of the errors above, the policy is %s", named(host),
			described(policy))
	end
	put_in_force(self, host, policy)
end

local function load_all(self)
	local given, read = self._server.policy_option "*", self._read["*"]
	if read and is_same(read.given, given, 1) then
		return put_in_force(self, "*", read.policy)
	end
	local repaired, errors = options.repair(given)
	if errors[1] then
		self._read["*"] = nil
		return put_repaired(self, "*", repaired, errors)
	end
	local policy = policy_of(self, repaired)
	self._read["*"] = { given = given, policy = policy }
	put_in_force(self, "*", policy)
end

-- A host with options of its own. Options that were valid when they were read last are not checked
-- again.
local function load_own(self, host, global, own)
	local read = self._read[host]
	if read and is_same(read.global, global, 1) and is_same(read.own, own, 1) then
		return put_in_force(self, host, read.policy)
	end
	local repaired, errors, wrong_elsewhere = options.repair_host(global, own)
	if errors[1] or wrong_elsewhere then
		self._read[host] = nil
		return put_repaired(self, host, repaired, errors, wrong_elsewhere)
	end
	local policy = policy_of(self, repaired)
	self._read[host] = { global = global, own = own, policy = policy }
	put_in_force(self, host, policy)
end

--- Reads the options of a host, and makes its policy active. The options for all have to be
-- loaded.
function methods:load_host(host)
	local global, own = self._server.policy_option "*", self._server.policy_option(host)
	if rawequal(global, own) then
		return put_in_force(self, host, self._policies["*"])
	end
	load_own(self, host, global, own)
end

-- Lua takes `report` without quotation marks for a variable that is not set, so { mode = report } is empty.
local EMPTY = ("%s is an empty table and has no effect; are quotation marks missing, as in { mode = report }?")
	:format(options.name)

-- Adds the accounts of a policy's exceptions that are of no host of ours. `seen`: the messages that were added before,
-- since hosts share exceptions.
local function add_foreign_accounts(server, place, policy, seen, add)
	for _, exception in ipairs(policy and exceptions.of_networks(policy) or {}) do
		for _, account in ipairs(exception.accounts or {}) do
			local _, domain = server.split_jid(account)
			local message = domain and not server.is_host(domain)
				and ("the exception for %s (%s) has no effect for %s: %s is no host of this server"):format(exception.domain,
					text.quote(exception.reason), text.quote(account), text.quote(domain))
			if message and not seen[message] then
				seen[message] = true
				add("foreign-account", place, message)
			end
		end
	end
end

--- Options of the server that have no effect: those whose names are nearly that of ours, ours if it is empty, and
-- accounts in it that are of no host of ours. A list of { kind ("misspelt-option", "empty-option" or
-- "foreign-account"), host ("*": at the top), message }. An option that is named after a module belongs to that module.
function methods:options_without_effect()
	local server, is_near, seen, list = self._server, {}, {}, {}
	local places = server.hosts()
	table.insert(places, 1, "*")
	local function add(kind, host, message)
		list[#list + 1] = { kind = kind, host = host, message = message }
	end
	for _, host in ipairs(places) do
		for _, name in ipairs(server.option_names(host)) do
			if is_near[name] == nil then
				is_near[name] = name ~= options.name and text.nearest(name, { options.name }) ~= nil
			end
			if is_near[name] and not server.wants_module(host, name) then
				add("misspelt-option", host, ("%s is no option and has no effect; did you mean %s?")
					:format(text.quote(name), text.quote(options.name)))
			end
			local value = name == options.name and server.policy_option(host)
			if type(value) == "table" and not next(value) then
				add("empty-option", host, EMPTY)
			end
		end
		add_foreign_accounts(server, host, self._policies[host], seen, add)
	end
	return list
end

--- Logs them. To be called when the server has made its hosts.
function methods:warn_of_options_without_effect()
	for _, found in ipairs(self:options_without_effect()) do
		self._server.log("*", "warn", "%s: %s", found.host == "*" and "configuration" or found.host, found.message)
	end
end

--- Reads all options, and makes the policies active: the one for all, and those of the hosts
-- that have one already.
function methods:load()
	self._warned, self._errors = {}, {}
	load_all(self)
	for _, host in ipairs(self:hosts()) do
		self:load_host(host)
	end
	self:warn_of_exceptions()
end

--- Logs warnings of exceptions that were not logged since the options were read: that one ends
-- soon, has ended, or has no effect.
function methods:warn_of_exceptions()
	local now = os.time()
	for host, policy in pairs(self._policies) do
		local warnings = next(policy.exceptions) and policy:warnings(now, function (name)
			return self._server.option(host, name)
		end)
		for _, warning in ipairs(warnings or {}) do
			if not self._warned[warning.message] then
				self._warned[warning.message] = true
				self._server.log("*", "warn", "%s", warning.message)
			end
		end
	end
end

--- A host has no policy any more.
function methods:remove(host)
	if self._policies[host] then
		self._policies[host], self._read[host] = nil, nil
		self.number = self.number + 1
	end
end

--- No host has one.
function methods:clear()
	self._policies, self._read = {}, {}
	self.number = self.number + 1
end

---- Questions -----------------------------------------------------------------

--- The errors that were found in the options when they were read last, those for all ("*") and those of a host's
-- own: a list of { option, message (with the value that is in force instead), unopened = true: of a file that cannot be
-- read }, empty if there were none.
function methods:errors(host)
	return self._errors[host] or {}
end

--- Whether an exception of some policy has ended after a time, and by another (UTC seconds).
function methods:has_ended_exception(since, now)
	for _, policy in pairs(self._policies) do
		for _, exception in pairs(policy.exceptions) do
			if since < exception.ends and exception.ends <= now then
				return true
			end
		end
	end
	return false
end

--- A number that changes whenever the policy for some host becomes another one.
function methods:generation()
	return self.number
end

--- Whether a host has a policy. Where the module is disabled, it has none.
function methods:covers(host)
	return host ~= nil and self._policies[host] ~= nil
end

-- Whether an exception is for an account, a bare JID as the server has it.
local function is_for_account(self, exception, account)
	if not exception.accounts then
		return true
	end
	local prepared = self._accounts[exception]
	if not prepared then
		prepared = {}
		for _, name in ipairs(exception.accounts) do
			local node, domain = self._server.split_jid(name)
			if node and domain then
				prepared[node .. "@" .. domain] = true
			end
		end
		self._accounts[exception] = prepared
	end
	return prepared[account] == true
end

--- The policy for a host of ours (nil, or without one: the policy for all) and a domain of a peer,
-- which may have an exception (nil: a client). `address`: of a client, whose network may have one, too; nil: none
-- counts. `account`: its bare JID; nil: it has not authenticated, so the exception may be for it.
function methods:policy_for(host, domain, address, account)
	local policy = host and self._policies[host] or self._policies["*"]
	if not domain and not address or next(policy.exceptions) == nil then
		return policy
	elseif domain then
		return policy:for_peer(domain, os.time())
	end
	local excepted = policy:for_client(address, os.time())
	if account and excepted.exception and not is_for_account(self, excepted.exception, account) then
		return policy
	end
	return excepted
end

--- Hosts that have a policy, sorted.
function methods:hosts()
	local names = {}
	for host in pairs(self._policies) do
		names[#names + 1] = host ~= "*" and host or nil
	end
	table.sort(names)
	return names
end

--- Calls visit(host, policy) for each host, sorted; "*", for all others, comes first.
function methods:each(visit)
	visit("*", self._policies["*"])
	for _, host in ipairs(self:hosts()) do
		visit(host, self._policies[host])
	end
end

return policies
