local observations = require "xmpp_tls_policy.audit.observations"

describe("the statement of an observation", function ()
	it("is found by its name, or by the beginning of its name", function ()
		local statements = observations.statements
		assert.equal(statements["early_data"], observations.statement "early_data")
		assert.equal(statements["suites.cbc"], observations.statement "suites.cbc")
		assert.equal(statements["version.newest"], observations.statement "version.newest")
		assert.is_string(observations.statement "version.TLSv1.1")
		assert.equal(statements["version.*"], observations.statement "version.TLSv1.1")
		assert.is_nil(observations.statement "none")
		assert.is_nil(observations.statement "none.of.ours")
		assert.is_nil(observations.statement "")
	end)
end)
