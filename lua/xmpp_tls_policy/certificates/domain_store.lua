--- A storage for a certificate memory (see memory.lua) over a store of the server: one record for
-- each domain, whether its name is written in A-labels or in U-labels.
local domain_name = require "xmpp_tls_policy.core".domain_name

local domain_store = {}

local methods = {}
local metatable = { __index = methods }

--- The name under which a domain's record is stored, and shown: in A-labels
-- (rfc6125.6.4.2.compared-as-a-labels); names that are none of DNS, such as addresses, stay as
-- they are.
function domain_store.name_of(domain)
	return domain_name(domain) or domain
end

--- `options`: store = a store of the server; unicode_form = function(domain) -> the name in U-labels,
-- or nil.
function domain_store.new(options)
	return setmetatable({ _store = options.store, _unicode_form = options.unicode_form }, metatable)
end

-- The name under which earlier versions stored the domain's record if the server gave the domain in
-- U-labels; nil: the same.
local function former_name(self, name)
	local former = name:find("xn--", 1, true) and self._unicode_form(name)
	return former ~= name and former or nil
end

-- Moves a record from the former name. Returns it, or nil and a message. An empty one, which is
-- damaged, stays: storages take it for none when it is set.
local function move(self, former, name)
	local record, message = self._store:get(former)
	if type(record) ~= "table" or next(record) == nil then
		return record, message
	end
	local done, failure = self._store:set(name, record)
	if not done then
		return nil, failure
	end
	done, failure = self._store:set(former, nil)
	if not done then
		return nil, failure
	end
	return record
end

--- The record; nil: there is none; nil, message: the store failed.
function methods:get(domain)
	local name = domain_store.name_of(domain)
	local record, message = self._store:get(name)
	local former = record == nil and message == nil and former_name(self, name)
	if former then
		return move(self, former, name)
	end
	return record, message
end

--- True; nil, message. A record of nil removes it.
function methods:set(domain, record)
	local name = domain_store.name_of(domain)
	local former = not record and former_name(self, name)
	if former then
		local done, message = self._store:set(former, nil)
		if not done then
			return nil, message
		end
	end
	return self._store:set(name, record)
end

--- An iterator over the domains, in any order, one of which may come twice; nil, message.
function methods:domains()
	local iterate, state, control = self._store:keys()
	if not iterate then
		return nil, state
	end
	return function ()
		control = iterate(state, control)
		return control and domain_store.name_of(control)
	end
end

return domain_store
