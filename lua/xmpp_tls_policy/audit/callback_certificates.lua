--- Certificates of our domain that the server as a client must not take for valid: made for one audit with the
-- command openssl, which every machine with a server has. The core can make none.
local core = require "xmpp_tls_policy.core"
local tasks = require "xmpp_tls_policy.audit.tasks"
local tls_client = require "xmpp_tls_policy.audit.tls_client"
local uv = require "luv"

local callback_certificates = {}

local DAY = 86400
local PATIENCE = 20 -- seconds for one command
local MOST_OUTPUT = 4096 -- bytes of a command's output that are kept

--- Name -> what is wrong with the certificate: whether it has our domain, and its dates, in seconds from now. All
-- are self-signed.
callback_certificates.kinds = {
	self_signed = { from = -3600, to = 7 * DAY },
	expired = { from = -60 * DAY, to = -30 * DAY },
	wrong_name = { from = -3600, to = 7 * DAY, name = "wrong.invalid" },
}

-- RFC 6761 reserves "invalid".
local CONFIGURATION = [[
[req]
distinguished_name = subject
[subject]
[ca]
default_ca = ours
[ours]
database = %s/index
new_certs_dir = %s
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = optional
]]

local EXTENSIONS = [[
[%s]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:%s
]]

local function write(path, contents)
	local file, problem = io.open(path, "wb")
	if not file then
		return nil, problem
	end
	local written, failure = file:write(contents)
	local closed, at_close = file:close()
	return written and closed, failure or at_close
end

-- Runs a command. Returns true, or nil and a message.
local function run(words)
	local arguments, output = {}, ""
	for index = 2, #words do
		arguments[index - 1] = words[index]
	end
	local errors = assert(uv.new_pipe(false))
	local status, problem = tasks.wait(function (resume)
		local process, message
		local stop = tasks.after(PATIENCE, function ()
			if process then
				process:kill "sigkill"
			end
		end)
		process, message = uv.spawn(words[1], { args = arguments, stdio = { nil, nil, errors } }, function (code, signal)
			stop()
			process:close()
			resume(signal == 0 and code or -1)
		end)
		if not process then
			stop()
			return resume(nil, message)
		end
		errors:read_start(function (_, bytes)
			output = (output .. (bytes or "")):sub(1, MOST_OUTPUT)
		end)
	end)
	errors:close()
	if status ~= 0 then
		return nil, ("%s %s failed: %s"):format(words[1], words[2], problem or output)
	end
	return true
end

local function date(seconds)
	return os.date("!%Y%m%d%H%M%SZ", os.time() + seconds)
end

-- Makes the files of all kinds in a directory.
local function make_files(directory, domain)
	local configuration = { CONFIGURATION:format(directory, directory) }
	for kind, wrong in pairs(callback_certificates.kinds) do
		configuration[#configuration + 1] = EXTENSIONS:format(kind, wrong.name or domain)
	end
	local path = directory .. "/configuration"
	local key, request = directory .. "/key", directory .. "/request"
	local done, problem = write(path, table.concat(configuration))
	done = done and write(directory .. "/index", "")
	if not done then
		return nil, problem
	end
	local commands = {
		{ "openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key },
		{ "openssl", "req", "-new", "-config", path, "-subj", "/CN=audit by xmpp-tls-policy", "-key", key, "-out", request },
	}
	for kind, wrong in pairs(callback_certificates.kinds) do
		commands[#commands + 1] = {
			"openssl", "ca", "-batch", "-notext", "-selfsign", "-config", path, "-extensions", kind, "-keyfile", key,
			"-startdate", date(wrong.from), "-enddate", date(wrong.to), "-in", request, "-out", directory .. "/" .. kind,
		}
	end
	for _, command in ipairs(commands) do
		done, problem = run(command)
		if not done then
			return nil, problem
		end
	end
	return true
end

local function remove(directory)
	local entries = uv.fs_scandir(directory)
	local name = entries and uv.fs_scandir_next(entries)
	while name do
		uv.fs_unlink(directory .. "/" .. name)
		name = uv.fs_scandir_next(entries)
	end
	return uv.fs_rmdir(directory)
end

--- A Context for our side, which takes the weakest parameters that OpenSSL has: the other side is judged, not ours.
-- `role`: "server" or "client"; `certificate`, `key`: paths, or nil. Or nil and a message.
function callback_certificates.load(role, certificate, key)
	local context, problem = core.context.new { role = role, verify = "none", certificate = certificate, key = key }
	local applied = nil
	if context then
		applied, problem = context:apply(tls_client.settings)
	end
	return applied and context, problem
end

-- Makes the contexts of all kinds, with files in a directory.
local function make_contexts(directory, domain)
	local made, problem = make_files(directory, domain)
	if not made then
		return nil, problem
	end
	local contexts = {}
	for kind in pairs(callback_certificates.kinds) do
		contexts[kind], problem = callback_certificates.load("server", directory .. "/" .. kind, directory .. "/key")
		if not contexts[kind] then
			return nil, problem
		end
	end
	return contexts
end

--- Makes the certificates for our domain (in A-labels). Returns kind -> Context of a server; or nil and a message. The
-- files, the key among them, do not outlive the call. To be called in a task.
function callback_certificates.make(domain)
	local directory, problem = uv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/xmpp-tls-policy-XXXXXX")
	if not directory then
		return nil, problem
	end
	local contexts, message = make_contexts(directory, domain)
	local removed, failure = remove(directory)
	if not removed then
		return nil, ("cannot remove %s: %s"):format(directory, failure)
	end
	return contexts, message
end

return callback_certificates
