rockspec_format = "3.0"
package = "xmpp-tls-policy"
version = "scm-1"
source = {
	-- `luarocks make` builds the current checkout and fetches nothing.
	url = "git+file://.";
}
description = {
	summary = "TLS policy for Prosody-style XMPP servers";
	detailed = [[
		Enforces draft-saintandre-xmpp-tls-02, RFC 7590 or RFC 9325 on an
		existing XMPP server. It tightens the TLS contexts that the server
		made, checks the parameters of each handshake, and closes streams
		that break the policy.
	]];
	license = "MIT";
	labels = { "xmpp", "tls", "prosody", "openssl" };
}
supported_platforms = { "unix" }
dependencies = { "lua >= 5.1, < 5.5" }
external_dependencies = {
	OPENSSL = { header = "openssl/ssl.h"; library = "ssl" };
}
build = {
	type = "make";
	build_target = "core";
	build_variables = {
		CFLAGS = "$(CFLAGS)";
		LIBFLAG = "$(LIBFLAG)";
		LUA_INCDIR = "$(LUA_INCDIR)";
		OPENSSL_INCDIR = "$(OPENSSL_INCDIR)";
		OPENSSL_LIBDIR = "$(OPENSSL_LIBDIR)";
		CORE = "c/core.so";
	};
	install_pass = false;
	install = {
		lib = { ["xmpp_tls_policy.core"] = "c/core.so" };
		bin = { ["xmpp-tls-policy"] = "lua/bin/xmpp-tls-policy" };
		lua = {
			["mod_xmpp_tls_policy"] = "lua/mod_xmpp_tls_policy.lua";
			["xmpp_tls_policy"] = "lua/xmpp_tls_policy/init.lua";
			["xmpp_tls_policy.audit.channel"] = "lua/xmpp_tls_policy/audit/channel.lua";
			["xmpp_tls_policy.audit.findings"] = "lua/xmpp_tls_policy/audit/findings.lua";
			["xmpp_tls_policy.audit.grade"] = "lua/xmpp_tls_policy/audit/grade.lua";
			["xmpp_tls_policy.audit.html"] = "lua/xmpp_tls_policy/audit/html.lua";
			["xmpp_tls_policy.audit.observations"] = "lua/xmpp_tls_policy/audit/observations.lua";
			["xmpp_tls_policy.audit.problems"] = "lua/xmpp_tls_policy/audit/problems.lua";
			["xmpp_tls_policy.audit.report"] = "lua/xmpp_tls_policy/audit/report.lua";
			["xmpp_tls_policy.audit.report_html"] = "lua/xmpp_tls_policy/audit/report_html.lua";
			["xmpp_tls_policy.audit.report_json"] = "lua/xmpp_tls_policy/audit/report_json.lua";
			["xmpp_tls_policy.audit.report_style"] = "lua/xmpp_tls_policy/audit/report_style.lua";
			["xmpp_tls_policy.audit.report_text"] = "lua/xmpp_tls_policy/audit/report_text.lua";
			["xmpp_tls_policy.audit.tasks"] = "lua/xmpp_tls_policy/audit/tasks.lua";
			["xmpp_tls_policy.certificates.change"] = "lua/xmpp_tls_policy/certificates/change.lua";
			["xmpp_tls_policy.certificates.domain_store"] = "lua/xmpp_tls_policy/certificates/domain_store.lua";
			["xmpp_tls_policy.certificates.memory"] = "lua/xmpp_tls_policy/certificates/memory.lua";
			["xmpp_tls_policy.certificates.newcomers"] = "lua/xmpp_tls_policy/certificates/newcomers.lua";
			["xmpp_tls_policy.certificates.own_certificate"] = "lua/xmpp_tls_policy/certificates/own_certificate.lua";
			["xmpp_tls_policy.certificates.own_certificate_check"] = "lua/xmpp_tls_policy/certificates/own_certificate_check.lua";
			["xmpp_tls_policy.certificates.peer_certificates"] = "lua/xmpp_tls_policy/certificates/peer_certificates.lua";
			["xmpp_tls_policy.certificates.recent_records"] = "lua/xmpp_tls_policy/certificates/recent_records.lua";
			["xmpp_tls_policy.certificates.record"] = "lua/xmpp_tls_policy/certificates/record.lua";
			["xmpp_tls_policy.certificates.sighting"] = "lua/xmpp_tls_policy/certificates/sighting.lua";
			["xmpp_tls_policy.command_line"] = "lua/xmpp_tls_policy/command_line/init.lua";
			["xmpp_tls_policy.commands"] = "lua/xmpp_tls_policy/commands/init.lua";
			["xmpp_tls_policy.commands.accept"] = "lua/xmpp_tls_policy/commands/accept.lua";
			["xmpp_tls_policy.commands.arguments"] = "lua/xmpp_tls_policy/commands/arguments.lua";
			["xmpp_tls_policy.commands.cert"] = "lua/xmpp_tls_policy/commands/cert.lua";
			["xmpp_tls_policy.commands.columns"] = "lua/xmpp_tls_policy/commands/columns.lua";
			["xmpp_tls_policy.commands.connection_filter"] = "lua/xmpp_tls_policy/commands/connection_filter.lua";
			["xmpp_tls_policy.commands.connection_row"] = "lua/xmpp_tls_policy/commands/connection_row.lua";
			["xmpp_tls_policy.commands.explain"] = "lua/xmpp_tls_policy/commands/explain.lua";
			["xmpp_tls_policy.commands.forget"] = "lua/xmpp_tls_policy/commands/forget.lua";
			["xmpp_tls_policy.commands.forget_report"] = "lua/xmpp_tls_policy/commands/forget_report.lua";
			["xmpp_tls_policy.commands.host_names"] = "lua/xmpp_tls_policy/commands/host_names.lua";
			["xmpp_tls_policy.commands.offered_certificates"] = "lua/xmpp_tls_policy/commands/offered_certificates.lua";
			["xmpp_tls_policy.commands.output"] = "lua/xmpp_tls_policy/commands/output.lua";
			["xmpp_tls_policy.commands.peers"] = "lua/xmpp_tls_policy/commands/peers.lua";
			["xmpp_tls_policy.commands.refusal_filter"] = "lua/xmpp_tls_policy/commands/refusal_filter.lua";
			["xmpp_tls_policy.commands.refused"] = "lua/xmpp_tls_policy/commands/refused.lua";
			["xmpp_tls_policy.commands.remembered_certificates"] = "lua/xmpp_tls_policy/commands/remembered_certificates.lua";
			["xmpp_tls_policy.commands.run"] = "lua/xmpp_tls_policy/commands/run.lua";
			["xmpp_tls_policy.commands.show"] = "lua/xmpp_tls_policy/commands/show.lua";
			["xmpp_tls_policy.commands.stats"] = "lua/xmpp_tls_policy/commands/stats.lua";
			["xmpp_tls_policy.commands.status"] = "lua/xmpp_tls_policy/commands/status.lua";
			["xmpp_tls_policy.commands.status_contexts"] = "lua/xmpp_tls_policy/commands/status_contexts.lua";
			["xmpp_tls_policy.commands.would_refuse"] = "lua/xmpp_tls_policy/commands/would_refuse.lua";
			["xmpp_tls_policy.configuration_log"] = "lua/xmpp_tls_policy/configuration_log.lua";
			["xmpp_tls_policy.contexts.adopted_contexts"] = "lua/xmpp_tls_policy/contexts/adopted_contexts.lua";
			["xmpp_tls_policy.contexts.foreseen_outages"] = "lua/xmpp_tls_policy/contexts/foreseen_outages.lua";
			["xmpp_tls_policy.contexts.known_settings"] = "lua/xmpp_tls_policy/contexts/known_settings.lua";
			["xmpp_tls_policy.contexts.session_memory"] = "lua/xmpp_tls_policy/contexts/session_memory.lua";
			["xmpp_tls_policy.contexts.opened_by_exceptions"] = "lua/xmpp_tls_policy/contexts/opened_by_exceptions.lua";
			["xmpp_tls_policy.contexts.tls_contexts"] = "lua/xmpp_tls_policy/contexts/tls_contexts.lua";
			["xmpp_tls_policy.contexts.trial"] = "lua/xmpp_tls_policy/contexts/trial.lua";
			["xmpp_tls_policy.copy"] = "lua/xmpp_tls_policy/copy.lua";
			["xmpp_tls_policy.counters"] = "lua/xmpp_tls_policy/counters.lua";
			["xmpp_tls_policy.date"] = "lua/xmpp_tls_policy/date.lua";
			["xmpp_tls_policy.handshakes.dhe_limit"] = "lua/xmpp_tls_policy/handshakes/dhe_limit.lua";
			["xmpp_tls_policy.handshakes.explain_failure"] = "lua/xmpp_tls_policy/handshakes/explain_failure.lua";
			["xmpp_tls_policy.handshakes.failed_handshakes"] = "lua/xmpp_tls_policy/handshakes/failed_handshakes.lua";
			["xmpp_tls_policy.handshakes.remedies"] = "lua/xmpp_tls_policy/handshakes/remedies.lua";
			["xmpp_tls_policy.handshakes.server_choices"] = "lua/xmpp_tls_policy/handshakes/server_choices.lua";
			["xmpp_tls_policy.invisible"] = "lua/xmpp_tls_policy/invisible.lua";
			["xmpp_tls_policy.latest_entries"] = "lua/xmpp_tls_policy/latest_entries.lua";
			["xmpp_tls_policy.log_limit"] = "lua/xmpp_tls_policy/log_limit.lua";
			["xmpp_tls_policy.metrics"] = "lua/xmpp_tls_policy/metrics.lua";
			["xmpp_tls_policy.network"] = "lua/xmpp_tls_policy/network.lua";
			["xmpp_tls_policy.policy"] = "lua/xmpp_tls_policy/policy/init.lua";
			["xmpp_tls_policy.policy.available"] = "lua/xmpp_tls_policy/policy/available.lua";
			["xmpp_tls_policy.policy.clauses"] = "lua/xmpp_tls_policy/policy/clauses.lua";
			["xmpp_tls_policy.policy.client_hello"] = "lua/xmpp_tls_policy/policy/client_hello.lua";
			["xmpp_tls_policy.policy.context_settings"] = "lua/xmpp_tls_policy/policy/context_settings.lua";
			["xmpp_tls_policy.policy.enforcement"] = "lua/xmpp_tls_policy/policy/enforcement.lua";
			["xmpp_tls_policy.policy.exceptions"] = "lua/xmpp_tls_policy/policy/exceptions.lua";
			["xmpp_tls_policy.policy.hello_verdicts"] = "lua/xmpp_tls_policy/policy/hello_verdicts.lua";
			["xmpp_tls_policy.policy.negotiation"] = "lua/xmpp_tls_policy/policy/negotiation.lua";
			["xmpp_tls_policy.policy.options"] = "lua/xmpp_tls_policy/policy/options.lua";
			["xmpp_tls_policy.policy.overrides"] = "lua/xmpp_tls_policy/policy/overrides.lua";
			["xmpp_tls_policy.policy.policies"] = "lua/xmpp_tls_policy/policy/policies.lua";
			["xmpp_tls_policy.policy.probe_rules"] = "lua/xmpp_tls_policy/policy/probe_rules.lua";
			["xmpp_tls_policy.policy.profiles"] = "lua/xmpp_tls_policy/policy/profiles.lua";
			["xmpp_tls_policy.policy.render"] = "lua/xmpp_tls_policy/policy/render.lua";
			["xmpp_tls_policy.policy.rules"] = "lua/xmpp_tls_policy/policy/rules.lua";
			["xmpp_tls_policy.policy.settings"] = "lua/xmpp_tls_policy/policy/settings.lua";
			["xmpp_tls_policy.policy.signature_schemes"] = "lua/xmpp_tls_policy/policy/signature_schemes.lua";
			["xmpp_tls_policy.policy.suites"] = "lua/xmpp_tls_policy/policy/suites.lua";
			["xmpp_tls_policy.policy.usable_versions"] = "lua/xmpp_tls_policy/policy/usable_versions.lua";
			["xmpp_tls_policy.policy.validators"] = "lua/xmpp_tls_policy/policy/validators.lua";
			["xmpp_tls_policy.policy.verdict"] = "lua/xmpp_tls_policy/policy/verdict.lua";
			["xmpp_tls_policy.refused_peers"] = "lua/xmpp_tls_policy/refused_peers.lua";
			["xmpp_tls_policy.servers.contract"] = "lua/xmpp_tls_policy/servers/contract.lua";
			["xmpp_tls_policy.servers.prosody"] = "lua/xmpp_tls_policy/servers/prosody/init.lua";
			["xmpp_tls_policy.servers.prosody.administrators"] = "lua/xmpp_tls_policy/servers/prosody/administrators.lua";
			["xmpp_tls_policy.servers.prosody.channel_binding"] = "lua/xmpp_tls_policy/servers/prosody/channel_binding.lua";
			["xmpp_tls_policy.servers.prosody.contexts"] = "lua/xmpp_tls_policy/servers/prosody/contexts.lua";
			["xmpp_tls_policy.servers.prosody.core_check"] = "lua/xmpp_tls_policy/servers/prosody/core_check.lua";
			["xmpp_tls_policy.servers.prosody.elements"] = "lua/xmpp_tls_policy/servers/prosody/elements.lua";
			["xmpp_tls_policy.servers.prosody.events"] = "lua/xmpp_tls_policy/servers/prosody/events.lua";
			["xmpp_tls_policy.servers.prosody.fail_closed"] = "lua/xmpp_tls_policy/servers/prosody/fail_closed.lua";
			["xmpp_tls_policy.servers.prosody.hosts"] = "lua/xmpp_tls_policy/servers/prosody/hosts.lua";
			["xmpp_tls_policy.servers.prosody.metrics"] = "lua/xmpp_tls_policy/servers/prosody/metrics.lua";
			["xmpp_tls_policy.servers.prosody.plugin"] = "lua/xmpp_tls_policy/servers/prosody/plugin.lua";
			["xmpp_tls_policy.servers.prosody.routes"] = "lua/xmpp_tls_policy/servers/prosody/routes.lua";
			["xmpp_tls_policy.servers.prosody.safe_hooks"] = "lua/xmpp_tls_policy/servers/prosody/safe_hooks.lua";
			["xmpp_tls_policy.servers.prosody.sessions"] = "lua/xmpp_tls_policy/servers/prosody/sessions.lua";
			["xmpp_tls_policy.servers.prosody.shell"] = "lua/xmpp_tls_policy/servers/prosody/shell.lua";
			["xmpp_tls_policy.servers.prosody.stanza_filter"] = "lua/xmpp_tls_policy/servers/prosody/stanza_filter.lua";
			["xmpp_tls_policy.servers.prosody.storage"] = "lua/xmpp_tls_policy/servers/prosody/storage.lua";
			["xmpp_tls_policy.servers.prosody.turns"] = "lua/xmpp_tls_policy/servers/prosody/turns.lua";
			["xmpp_tls_policy.servers.prosody.unloading"] = "lua/xmpp_tls_policy/servers/prosody/unloading.lua";
			["xmpp_tls_policy.service"] = "lua/xmpp_tls_policy/service.lua";
			["xmpp_tls_policy.stream.address_domains"] = "lua/xmpp_tls_policy/stream/address_domains.lua";
			["xmpp_tls_policy.stream.admission"] = "lua/xmpp_tls_policy/stream/admission.lua";
			["xmpp_tls_policy.stream.checks"] = "lua/xmpp_tls_policy/stream/checks.lua";
			["xmpp_tls_policy.stream.closing"] = "lua/xmpp_tls_policy/stream/closing.lua";
			["xmpp_tls_policy.stream.cutoff_report"] = "lua/xmpp_tls_policy/stream/cutoff_report.lua";
			["xmpp_tls_policy.stream.cutoff_reports"] = "lua/xmpp_tls_policy/stream/cutoff_reports.lua";
			["xmpp_tls_policy.stream.cutoff_verdict"] = "lua/xmpp_tls_policy/stream/cutoff_verdict.lua";
			["xmpp_tls_policy.stream.refusal_log"] = "lua/xmpp_tls_policy/stream/refusal_log.lua";
			["xmpp_tls_policy.stream.shared_facts"] = "lua/xmpp_tls_policy/stream/shared_facts.lua";
			["xmpp_tls_policy.stream.shut_hosts"] = "lua/xmpp_tls_policy/stream/shut_hosts.lua";
			["xmpp_tls_policy.stream.starttls"] = "lua/xmpp_tls_policy/stream/starttls.lua";
			["xmpp_tls_policy.stream.stream"] = "lua/xmpp_tls_policy/stream/stream.lua";
			["xmpp_tls_policy.text"] = "lua/xmpp_tls_policy/text.lua";
			["xmpp_tls_policy.version"] = "lua/xmpp_tls_policy/version.lua";
			["xmpp_tls_policy.work_queue"] = "lua/xmpp_tls_policy/work_queue.lua";
		};
	};
	copy_directories = {};
}
