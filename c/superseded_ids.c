/* IDs of sessions that were renewed before they came. A replay reads the stream backwards, so the
 * renewal of a session comes first. The memory has a fixed size, and the IDs that were noted first
 * go: then a session has one place more in the store. */
#include "internal.h"

#include <string.h>

static uint64_t bits_of(const unsigned char *id)
{
	uint64_t bits;
	memcpy(&bits, id, sizeof bits);
	return bits;
}

/* OpenSSL's generator made the IDs, and only records that opened bring them, so any bits of them
 * are spread evenly. */
static uint64_t *row_of(struct superseded_ids *ids, uint64_t bits)
{
	return ids->rows[bits % SUPERSEDED_ROWS];
}

void superseded_ids_note(struct superseded_ids *ids, const unsigned char *id, bool twice)
{
	uint64_t bits = bits_of(id), *row = row_of(ids, bits);
	memmove(row + 1, row, (SUPERSEDED_IN_ROW - 1) * sizeof *row);
	row[0] = (bits & ~(uint64_t)1) | twice;
}

unsigned int superseded_ids_take(struct superseded_ids *ids, const unsigned char *id)
{
	uint64_t bits = bits_of(id), *row = row_of(ids, bits);
	for (unsigned int i = 0; i < SUPERSEDED_IN_ROW; i++)
		if (row[i] != 0 && (row[i] | 1) == (bits | 1)) {
			unsigned int renewals = (row[i] & 1) != 0 ? 2 : 1;
			row[i] = 0;
			return renewals;
		}
	return 0;
}
