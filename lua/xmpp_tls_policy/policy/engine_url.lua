--- Where the engine of shared sessions is: Redis or Valkey.
local engine_url = {}

local PORT = 6379

-- Percent-encoding, as in any URL (rfc3986.2.1.percent-encoding). Nil: malformed.
local function decoded(part)
	local rest = part:gsub("%%%x%x", "")
	if rest:find("%", 1, true) then
		return nil
	end
	return (part:gsub("%%(%x%x)", function (digits)
		return string.char(tonumber(digits, 16))
	end))
end

-- "user:password", "user", ":password" -> user, password. Nothing: malformed.
local function credentials(text)
	local user, password = text:match "^([^:]*):?(.*)$"
	user, password = decoded(user), decoded(password)
	if not user or not password or password == "" then
		return nil
	end
	return true, user ~= "" and user or nil, password
end

-- Empty: the first.
local function database_of(text)
	local number = text == "" and "0" or text:match "^%d%d?%d?%d?$"
	return number and tonumber(number)
end

local function parse_unix(rest)
	local authority, path = rest:match "^//([^/]*)(/.*)$"
	path = path or rest:match "^/[^/].*$"
	local place = { database = 0 }
	if not path then
		return nil, "no absolute path"
	end
	if authority and authority ~= "" then
		local known
		known, place.user, place.password = credentials(authority:match "^(.*)@$" or "")
		if not known then
			return nil, "malformed user and password"
		end
	end
	local plain, database = path:match "^(.*)%?database=([^?]*)$"
	place.path = decoded(plain or path)
	place.database = database_of(database or "0")
	if not place.path or place.path:find "[%z%?]" or #place.path > 100 then
		return nil, "a path that no socket can have"
	end
	return place
end

-- Whether a host that looks like an IPv4 address is none.
local function is_wrong_address(host)
	for number in (host:match "^%d+%.%d+%.%d+%.%d+$" or ""):gmatch "%d+" do
		if #number > 3 or tonumber(number) > 255 then
			return true
		end
	end
	return false
end

local function parse_tcp(rest, tls)
	local authority, tail = rest:match "^//([^/?#]+)(.*)$"
	local place = { tls = tls, database = database_of(tail and tail:match "^/?(%d*)$" or "none") }
	if not authority then
		return nil, "no host"
	end
	local login, address = authority:match "^(.*)@([^@]*)$"
	if login then
		local known
		known, place.user, place.password = credentials(login)
		if not known then
			return nil, "malformed user and password"
		end
	end
	local host, port = (address or authority):match "^%[([%x:.]+)%](.*)$"
	if not host then
		host, port = (address or authority):match "^([%w.-]+)(.*)$"
	end
	local number = port == "" and PORT or tonumber((port or ""):match "^:(%d%d?%d?%d?%d?)$")
	if not host or is_wrong_address(host) or not number or number < 1 or number > 65535 then
		return nil, "malformed host or port"
	end
	place.host, place.port = host, number
	return place
end

local parsers = {
	redis = parse_tcp,
	rediss = function (rest)
		return parse_tcp(rest, true)
	end,
	unix = parse_unix,
}

--- "redis://[user:password@]host[:port][/database]", the same with rediss (TLS), "unix:/path" or
-- "unix://user:password@/path[?database=number]" -> { host, port, tls = true or nil } or { path };
-- and database, user, password (nil: none). Or nil and a reason, which does not contain the URL.
function engine_url.parse(url)
	local scheme, rest = url:match "^(%l+):(.*)$"
	if not parsers[scheme] then
		return nil, "neither redis, rediss nor unix"
	end
	local place, reason = parsers[scheme](rest)
	if place and not place.database then
		return nil, "malformed database"
	end
	return place, reason
end

--- A URL that parse accepts as it may be shown: without user and password.
function engine_url.shown(url)
	return (url:gsub("^(%l+://).*@", "%1"))
end

return engine_url
