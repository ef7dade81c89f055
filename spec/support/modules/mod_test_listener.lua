-- Adds a listener, whereupon the policy looks for contexts. In the shell:
-- > require"core.modulemanager".get_module("*", "test_listener").listen()
-- luacheck: globals module listen
module:set_global()

-- Seconds of CPU until the server is through with the event. Its collector is left out, because a step
-- of it may come at any time.
function listen()
	collectgarbage()
	collectgarbage "stop"
	local start = os.clock()
	module:provides("net", { name = "test_listener", private = true, default_ports = {}, listener = {} })
	local seconds = os.clock() - start
	collectgarbage "restart"
	return seconds
end
