--- Stores of our hosts; see prosody_style/storage.lua.
local lfs = require "lfs"
local storagemanager = require "core.storagemanager"

local function has_file(host, name, key)
	local done, _, driver = pcall(storagemanager.get_driver, host, name)
	return done and driver == "internal" and lfs.attributes(storagemanager.olddm.getpath(key, host, name), "mode") ~= nil
end

local storage = require "xmpp_tls_policy.servers.prosody_style.storage" {
	-- Prosody 0.12 has no storage for global modules.
	open = function (module, name, kind)
		return module:open_store(name, kind)
	end,
	keys = function (store)
		return store:users()
	end,
	has_file = has_file,
}

return storage
