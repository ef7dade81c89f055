-- Makes functions of our library fail in a running server, and work again.
local injection = {}

-- Finds the table `functions` that holds `field`: the methods of a module's objects, or what a path
-- in the module itself leads to.
local find = [[local part, field = require %q, %q; local functions = part
	for index = 1, 60 do local name, value = debug.getupvalue(part.new or print, index)
		if name == "metatable" and value.__index[field] then functions = value.__index end end
	for step in field:gmatch "([^.]+)%%." do functions = functions[step] end
	field = field:match "[^.]+$"
	assert(functions[field], "there is no such function")]]

local function one_line(code)
	return (code:gsub("%s*\n%s*", " "))
end

-- Runs Lua code in a server, one line of it.
function injection.run(server, code)
	local output, status = server:shell("> " .. one_line(code))
	assert(status == 0, output)
end

-- The code that makes a function of one of our modules fail. `field`: the name of a method, or of a
-- function, as in "observer.facts".
function injection.failing(name, field)
	return (find .. [[ local whole = package.loaded["test.whole"] or {}; package.loaded["test.whole"] = whole
		whole[%q] = whole[%q] or functions[field]; functions[field] = function () error "injected" end;]]):format(
		name, field, name .. field, name .. field)
end

-- The code that makes it work again.
function injection.whole(name, field)
	return (find .. [[ functions[field] = package.loaded["test.whole"][%q];]]):format(name, field, name .. field)
end

function injection.fail(server, name, field)
	injection.run(server, injection.failing(name, field))
end

-- The code after which each line of fail_closed.log_limited may be written again, once: in a minute that does not
-- end.
injection.fresh_minute = [[local log_limited = require "xmpp_tls_policy.servers.prosody.fail_closed".log_limited
	for index = 1, 60 do local name, value = debug.getupvalue(log_limited, index)
		if name == "lines" then
			value._keys, value._key_count, value._began, value._now = {}, 0, 0, function () return 0 end
		end end;]]

return injection
