--- What cannot be had on Prosody, and why: nothing; see servers/contract.lua.
return {}
