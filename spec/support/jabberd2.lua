--- A real jabberd2 of the system: its router, its session manager, and the processes for clients and for servers.
-- The session manager has the modules that it starts with, and no more: nobody can log in.
local free_ports = require "support.free_ports"
local lfs = require "lfs"
local pki = require "support.pki"
local process = require "support.process"
local program = require "support.program"
local xmpp = require "support.xmpp"

local jabberd2 = {}

-- The reason why it cannot run here; nil if it can.
function jabberd2.missing()
	return not lfs.attributes "/usr/sbin/jabberd2-c2s" and "jabberd2 is not installed; `make peers` installs it" or nil
end

local router = [[
<router>
  <id>router</id>
  <log type='stdout'/>
  <local><ip>127.0.0.1</ip><port>%d</port><users>DIRECTORY/users.xml</users><secret>secret</secret></local>
  <io><max_fds>64</max_fds></io>
  <aci><acl type='all'><user>jabberd</user></acl></aci>
</router>
]]

local users = "<users><user><name>jabberd</name><secret>secret</secret></user></users>\n"

local to_the_router = [[
<router>
  <ip>127.0.0.1</ip><port>%d</port><user>jabberd</user><pass>secret</pass>
  <retry><init>10</init><lost>1</lost><sleep>1</sleep></retry>
</router>
]]

local sm = [[
<sm>
  <id>sm</id>
  %s
  <log type='stdout'/>
  <local><id>%s</id></local>
  <storage><path>%s</path><driver>fs</driver><fs><path>DIRECTORY</path></fs></storage>
  <modules><path>%s</path><chain id='in-router'><module>session</module></chain></modules>
</sm>
]]

local c2s = [[
<c2s>
  <id>c2s</id>
  %s
  <log type='stdout'/>
  <local>
    <id pemfile='%s' require-starttls='mu'>%s</id>
    <ip>127.0.0.1</ip><port>%d</port>
  </local>
  <io><max_fds>64</max_fds></io>
  <authreg>
    <path>%s</path><module>anon</module>
    <mechanisms><sasl><plain/></sasl></mechanisms>
    <ssl-mechanisms><sasl><plain/></sasl></ssl-mechanisms>
  </authreg>
</c2s>
]]

local s2s = [[
<s2s>
  <id>s2s</id>
  %s
  <log type='stdout'/>
  <local><ip>127.0.0.1</ip><port>%d</port><pemfile>%s</pemfile></local>
  <io><max_fds>64</max_fds></io>
  <security><require_tls/></security>
</s2s>
]]

-- Whether a client gets features. The session manager connects to the router a while after its start.
local function has_features(target)
	local peer = xmpp.connect(target)
	local features = peer:open()
	peer:close()
	return features
end

--- Starts it for a domain with a certificate (as pki's issue makes it). Returns { target = function(service),
-- see prosody.lua; stop = function }.
function jabberd2.start(domain, certificate)
	local ports = free_ports(3)
	local pem = pki.write(certificate.pem .. pki.read(certificate.key))
	local modules = process.check({ "sh", "-c", "ls -d /usr/lib/*/jabberd2" }):match "[^\n]+"
	local way = to_the_router:format(ports[1])
	local running = {}
	local function start(port, name, texts)
		running[#running + 1] = program.run(port, texts,
			{ "/usr/sbin/jabberd2-" .. name, "-c", "DIRECTORY/" .. name .. ".xml" })
	end
	start(ports[1], "router", { ["router.xml"] = router:format(ports[1]), ["users.xml"] = users })
	start(nil, "sm", { ["sm.xml"] = sm:format(way, domain, modules, modules) })
	start(ports[2], "c2s", { ["c2s.xml"] = c2s:format(way, pem, domain, ports[2], modules) })
	start(ports[3], "s2s", { ["s2s.xml"] = s2s:format(way, ports[3], pem) })
	local function target(service)
		return { port = ports[service == "c2s" and 2 or 3], kind = service, direct_tls = false, domain = domain }
	end
	assert(process.poll(process.PATIENCE, function () return has_features(target "c2s") end), running[2].output())
	return {
		target = target,
		stop = function ()
			for index = #running, 1, -1 do
				running[index].stop()
			end
		end,
	}
end

return jabberd2
