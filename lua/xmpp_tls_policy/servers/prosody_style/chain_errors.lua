--- The errors that LuaSec found in the chain of a peer's certificate.

--- `errors`: as LuaSec has them, depth (from 1, or text) -> one or a list; or anything else for none. Returns a list of
-- { depth (from 0, or text), message }.
return function (errors)
	local list = {}
	for depth, problems in pairs(type(errors) == "table" and errors or {}) do
		for _, problem in ipairs(type(problems) == "table" and problems or { problems }) do
			list[#list + 1] = {
				depth = type(depth) == "number" and ("%d"):format(depth - 1) or tostring(depth), message = tostring(problem),
			}
		end
	end
	return list
end
