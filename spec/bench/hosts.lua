-- Servers with many hosts, which share one certificate.
local hosts = {}

hosts.count = 300

function hosts.name(number)
	return ("host%d.example.test"):format(number)
end

--- Fields of a specification (see support/prosody.lua). `count`: of hosts; nil: 300.
function hosts.fields(bench, count)
	local files, list = bench.certificate("rsa2048", "*.example.test"), {}
	for number = 1, count or hosts.count do
		list[hosts.name(number)] = files
	end
	return { hosts = list, domain = hosts.name(1) }
end

return hosts
