/* The state of a context before our first change, kept with the context. */
#include "internal.h"

#include <stdlib.h>

#include <openssl/crypto.h>

struct original {
	struct snapshot snapshot;
	bool kept, changed, changed_schemes;
};

static int original_index = -1;

static void original_free(void *parent, void *data, CRYPTO_EX_DATA *ex_data, int index, long argl,
			  void *argp)
{
	struct original *original = data;
	(void)parent, (void)ex_data, (void)index, (void)argl, (void)argp;
	if (original == NULL)
		return;
	snapshot_free(&original->snapshot);
	free(original);
}

static struct original *original_of(const SSL_CTX *context)
{
	return original_index < 0 ? NULL : SSL_CTX_get_ex_data(context, original_index);
}

static struct original *original_new(SSL_CTX *context)
{
	if (original_index < 0)
		original_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, original_free);
	struct original *original = original_index < 0 ? NULL : calloc(1, sizeof *original);
	if (original == NULL || !SSL_CTX_set_ex_data(context, original_index, original)) {
		free(original);
		return NULL;
	}
	return original;
}

const struct snapshot *original_keep(SSL_CTX *context)
{
	struct original *original = original_of(context);
	if (original == NULL)
		original = original_new(context);
	if (original == NULL || original->kept)
		return original == NULL ? NULL : &original->snapshot;
	snapshot_free(&original->snapshot);
	if (!snapshot_take(context, &original->snapshot) || !security_begin(context))
		return NULL;
	original->kept = true;
	original->changed = original->changed_schemes = false;
	return &original->snapshot;
}

void original_note_change(SSL_CTX *context, bool schemes)
{
	struct original *original = original_of(context);
	original->changed = true;
	original->changed_schemes |= schemes;
}

bool original_is_changed(const SSL_CTX *context)
{
	return original_of(context)->changed;
}

bool original_restore(SSL_CTX *context)
{
	struct original *original = original_of(context);
	if (original == NULL || !original->kept)
		return true;
	bool done = !original->changed ||
		    snapshot_restore(context, &original->snapshot, original->changed_schemes);
	security_end(context);
	original->kept = false;
	return done;
}
