/* Writers of sealed records: each process start is one, known by its salt. Each has its cipher,
 * which is dear to derive, and the numbers of its records that were taken in already. A writer is
 * kept only after a record of it was opened, so strangers without the key can fill nothing. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW                                                                                     \
	(1U << 20) /* records; fresh memory for it is zero, and takes none until it is written */

void record_writers_init(struct record_writers *writers)
{
	memset(writers, 0, sizeof *writers);
}

static void forget(struct record_writer *writer)
{
	EVP_CIPHER_CTX_free(writer->cipher);
	free(writer->seen);
	memset(writer, 0, sizeof *writer);
}

void record_writers_free(struct record_writers *writers)
{
	for (unsigned int i = 0; i < writers->count; i++)
		forget(&writers->writers[i]);
	writers->count = 0;
}

struct record_writer *record_writers_find(struct record_writers *writers, unsigned int key,
					  const unsigned char *salt)
{
	for (unsigned int i = 0; i < writers->count; i++) {
		struct record_writer *writer = &writers->writers[i];
		if (writer->key == key && memcmp(writer->salt, salt, sizeof writer->salt) == 0)
			return writer;
	}
	return NULL;
}

/* A writer whose records are all too old to be taken in: it has ended, or shares nothing. To forget
 * another one would let its records in again. */
static struct record_writer *find_place(struct record_writers *writers, uint32_t now,
					uint32_t lifetime)
{
	if (writers->count < RECORD_WRITERS)
		return &writers->writers[writers->count++];
	for (unsigned int i = 0; i < writers->count; i++) {
		struct record_writer *writer = &writers->writers[i];
		if (now > writer->newest && now - writer->newest >= lifetime) {
			forget(writer);
			return writer;
		}
	}
	return NULL;
}

struct record_writer *record_writers_add(struct record_writers *writers, unsigned int key,
					 const unsigned char *salt, EVP_CIPHER_CTX *cipher,
					 uint32_t now, uint32_t lifetime)
{
	unsigned char *seen = calloc(1, WINDOW / 8);
	struct record_writer *writer = seen == NULL ? NULL : find_place(writers, now, lifetime);
	if (writer == NULL) {
		free(seen);
		return NULL;
	}
	writer->cipher = cipher;
	writer->seen = seen;
	writer->key = key;
	memcpy(writer->salt, salt, sizeof writer->salt);
	return writer;
}

static void clear(struct record_writer *writer, uint64_t counter)
{
	uint32_t bit = (uint32_t)counter % WINDOW;
	writer->seen[bit / 8] &= (unsigned char)~(1U << bit % 8);
}

/* Records come in any order: those of a stream that is read backwards, and those that come
 * meanwhile. */
static void advance(struct record_writer *writer, uint64_t counter)
{
	if (writer->highest == 0)
		; /* fresh memory */
	else if (counter - writer->highest >= WINDOW)
		memset(writer->seen, 0, WINDOW / 8);
	else
		for (uint64_t passed = writer->highest + 1; passed <= counter; passed++)
			clear(writer, passed);
	writer->highest = counter;
}

bool record_writer_note(struct record_writer *writer, uint64_t counter, uint32_t time)
{
	uint32_t bit = (uint32_t)counter % WINDOW;
	if (counter > writer->highest)
		advance(writer, counter);
	else if (writer->highest - counter >= WINDOW)
		return false;
	if (writer->seen[bit / 8] & 1U << bit % 8)
		return false;
	writer->seen[bit / 8] |= (unsigned char)(1U << bit % 8);
	if (time > writer->newest)
		writer->newest = time;
	return true;
}
