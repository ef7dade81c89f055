--- What cannot be had on Metronome, and why: see servers/contract.lua.
return {}
