/* The versions that contexts can negotiate. OpenSSL is asked once about all contexts that are
 * alike, because a server makes most of its contexts so, and each question costs as much as a
 * ClientHello. */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct protocol_version protocol_versions[] = {
	{ "SSLv3", SSL3_VERSION },     { "TLSv1", TLS1_VERSION },     { "TLSv1.1", TLS1_1_VERSION },
	{ "TLSv1.2", TLS1_2_VERSION }, { "TLSv1.3", TLS1_3_VERSION }, { NULL, 0 },
};

/* All that decides about the versions of a context, as text, and the answer, as versions_of gives
 * it. */
struct state {
	struct name_list text;
	unsigned int versions;
};

#define STATES 16 /* kinds of contexts; the oldest makes room */
static struct state states[STATES];
static size_t next_state;

/* Suites with PSK and SRP also depend on callbacks that cannot be read. */
static bool needs_callbacks(const struct snapshot *snapshot)
{
	const char *suites = name_list_text(&snapshot->ciphers);
	return strstr(suites, "PSK") != NULL || strstr(suites, "SRP") != NULL;
}

/* False if memory is short, or if the answer may depend on more than can be read. */
static bool describe(const SSL_CTX *context, const struct snapshot *snapshot,
		     struct name_list *text)
{
	const struct name_list *lists[] = { &snapshot->ciphers, &snapshot->ciphersuites,
					    &snapshot->groups, &snapshot->schemes };
	uintptr_t callback = security_plain_callback(context);
	char numbers[200];
	snprintf(numbers, sizeof numbers, "%p %" PRIxPTR " %" PRIx64 " %ld %ld %d %d %d",
		 (const void *)SSL_CTX_get_ssl_method(context), callback, snapshot->options,
		 snapshot->minimum_version, snapshot->maximum_version, snapshot->security_level,
		 snapshot->dh_bits, snapshot->certificates_only);
	bool done = callback != 0 && !needs_callbacks(snapshot) && name_list_add(text, "", numbers);
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		done = done && name_list_add(text, " ", name_list_text(lists[i]));
	return done;
}

static const struct state *find_state(const struct name_list *text)
{
	for (size_t i = 0; i < STATES; i++) {
		const struct state *state = &states[i];
		if (state->text.length == text->length &&
		    memcmp(state->text.text, text->text, text->length) == 0)
			return state;
	}
	return NULL;
}

/* Returns whether OpenSSL could answer for each version. */
static bool ask(SSL_CTX *context, unsigned int *versions)
{
	bool sure = true;
	*versions = 0;
	for (unsigned int i = 0; protocol_versions[i].name != NULL; i++) {
		enum unsent_hello_answer answer =
		    unsent_hello_with_version(context, protocol_versions[i].number);
		sure &= answer != UNSENT_HELLO_UNKNOWN;
		if (answer == UNSENT_HELLO_YES)
			*versions |= 1U << i;
	}
	return sure;
}

unsigned int versions_of(SSL_CTX *context, const struct snapshot *snapshot)
{
	struct name_list text = { .text = NULL };
	unsigned int versions;
	bool described = describe(context, snapshot, &text);
	const struct state *known = described ? find_state(&text) : NULL;
	if (known != NULL) {
		versions = known->versions;
	} else if (ask(context, &versions) && described) {
		struct state *state = &states[next_state++ % STATES];
		name_list_free(&state->text);
		*state = (struct state){ .text = text, .versions = versions };
		return versions;
	}
	name_list_free(&text);
	return versions;
}
