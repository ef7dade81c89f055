/* Sessions that can be resumed, found by session ID. Their memory has a fixed size, and the oldest
 * makes room for a new one. Nothing is allocated after the store is made. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>

/* A session; the rest of it is in its kind. Numbers of records count from 1: 0 is none.
 *
 * In TLS 1.3 each resumption gives the session another ID, and the client may lose it. So a session
 * has up to two records, which are partners: with the ID that was used last, and with the one that
 * was given out last. */
struct record {
	unsigned char id[SESSION_ID_SIZE];
	unsigned char secret[SESSION_SECRET_SIZE];
	unsigned char id_context[SESSION_ID_CONTEXT_SIZE];
	uint32_t created; /* seconds, by the store's clock */
	uint32_t next;    /* in the same bucket */
	uint32_t partner;
	uint32_t share; /* that it counts to */
	uint8_t kind;
	uint8_t secret_length; /* 0: the record is free */
};

/* A secret_length: the session has ended. Its record has only the ID. */
#define ENDED UINT8_MAX

struct session_store {
	unsigned long references;
	struct secret_memory memory; /* the records, the buckets, the counts of the shares */
	struct record *records;
	uint32_t *buckets;
	uint32_t capacity; /* records, and buckets */
	uint32_t newest;   /* number of the record written last, 0 at first */
	uint32_t oldest;   /* number of the one that was written first */
	uint32_t swept;    /* number of the one that session_store_sweep looked at last */
	uint32_t lifetime; /* seconds */
	uint32_t time;     /* at which the clock stands; 0: it is the system's */
	struct session_statistics statistics;
	struct session_kinds kinds;
	struct session_shares shares;
	struct sharing_queue *queue; /* NULL: nothing is shared */
};

#define MEBIBYTE 1048576

uint32_t session_store_now(const struct session_store *store)
{
	return store->time != 0 ? store->time : (uint32_t)time(NULL);
}

static struct record *record_of(const struct session_store *store, uint32_t number)
{
	return &store->records[number - 1];
}

/* OpenSSL's generator makes the IDs in the store, so any bits of them are spread evenly. IDs
 * that a client makes up cannot crowd a bucket: they are only looked for. */
static uint32_t *bucket_of(const struct session_store *store, const unsigned char *id)
{
	uint32_t bits;
	memcpy(&bits, id, sizeof bits);
	return &store->buckets[(uint64_t)bits * store->capacity >> 32];
}

/* ---- memory ----------------------------------------------------------------- */

struct session_store *session_store_new(unsigned int mebibytes, uint32_t lifetime,
					unsigned int share)
{
	struct session_store *store = calloc(1, sizeof *store);
	if (store == NULL || !secret_memory_map(&store->memory, (size_t)mebibytes * MEBIBYTE)) {
		free(store);
		return NULL;
	}
	size_t capacity =
	    store->memory.size / (sizeof(struct record) + sizeof(uint32_t) + sizeof(uint32_t));
	store->capacity = (uint32_t)capacity;
	store->records = store->memory.bytes;
	store->buckets = (uint32_t *)(store->records + capacity);
	store->references = 1;
	store->lifetime = lifetime;
	store->oldest = 1;
	store->swept = store->capacity;
	if (!session_shares_init(&store->shares, store->buckets + capacity, store->capacity)) {
		session_store_free(store);
		return NULL;
	}
	session_store_set_share(store, share);
	return store;
}

void session_store_up_ref(struct session_store *store)
{
	store->references++;
}

void session_store_free(struct session_store *store)
{
	if (store == NULL || --store->references > 0)
		return;
	secret_memory_unmap(&store->memory);
	session_kinds_free(&store->kinds);
	free(store);
}

/* ---- records ------------------------------------------------------------------ */

static bool is_used(const struct record *record)
{
	return record->secret_length != 0;
}

static void unlink_record(struct session_store *store, uint32_t number)
{
	struct record *record = record_of(store, number);
	uint32_t *link = bucket_of(store, record->id);
	while (*link != number)
		link = &record_of(store, *link)->next;
	*link = record->next;
	if (record->partner != 0)
		record_of(store, record->partner)->partner = 0;
	session_shares_subtract(&store->shares, record->share);
	if (record->secret_length != ENDED)
		store->statistics.sessions--;
	OPENSSL_cleanse(record, sizeof *record);
}

/* resume.lifetime */
static bool is_expired(const struct session_store *store, const struct record *record)
{
	/* Unsigned: if the clock is set back, sessions are too old, not valid for ever. */
	return session_store_now(store) - record->created >= store->lifetime;
}

static uint32_t after(const struct session_store *store, uint32_t number)
{
	return number == store->capacity ? 1 : number + 1;
}

/* Records are written in a ring, so the oldest come first, except the partners: they have the
 * age of their session. */
static void drop_expired(struct session_store *store, uint32_t most)
{
	for (uint32_t i = 0; i < most && store->newest != 0; i++) {
		struct record *record = record_of(store, store->oldest);
		if (is_used(record)) {
			if (!is_expired(store, record))
				return;
			unlink_record(store, store->oldest);
		}
		if (store->oldest == store->newest)
			return;
		store->oldest = after(store, store->oldest);
	}
}

static uint32_t find(const struct session_store *store, const unsigned char *id)
{
	uint32_t number = *bucket_of(store, id);
	while (number != 0 && memcmp(record_of(store, number)->id, id, SESSION_ID_SIZE) != 0)
		number = record_of(store, number)->next;
	return number;
}

/* Makes room for a record. Returns its number. */
static uint32_t take_place(struct session_store *store)
{
	uint32_t number = store->newest == 0 ? 1 : after(store, store->newest);
	if (is_used(record_of(store, number))) {
		store->statistics.evictions += record_of(store, number)->secret_length != ENDED;
		unlink_record(store, number);
	}
	if (store->oldest == number && store->newest != 0)
		store->oldest = after(store, number);
	store->newest = number;
	return number;
}

/* The same for a session, not for the mere ID of one that has ended. */
static uint32_t find_session(const struct session_store *store, const unsigned char *id)
{
	uint32_t number = find(store, id);
	return number == 0 || record_of(store, number)->secret_length == ENDED ? 0 : number;
}

/* Writes a record that is free. */
static void write_record(struct session_store *store, uint32_t number,
			 const struct session *session, uint32_t share)
{
	struct record *record = record_of(store, number);
	uint32_t *bucket = bucket_of(store, session->id);
	memcpy(record->id, session->id, sizeof record->id);
	memcpy(record->secret, session->secret, session->secret_length);
	memcpy(record->id_context, session->id_context, sizeof record->id_context);
	record->secret_length = session->secret_length;
	record->kind = session->kind;
	record->created = session->created;
	record->share = share;
	record->next = *bucket;
	*bucket = number;
	session_shares_add(&store->shares, share);
	store->statistics.insertions++;
	store->statistics.sessions++;
}

bool session_store_insert(struct session_store *store, struct session *session)
{
	uint32_t number = find(store, session->id);
	if (number != 0)
		unlink_record(store, number);
	/* Two at a time bound the time of an insertion. */
	drop_expired(store, 2);
	if (!session_shares_have_room(&store->shares, session->share)) {
		store->statistics.over_share++;
		return false;
	}
	session->created = session_store_now(store);
	write_record(store, take_place(store), session, session->share);
	return true;
}

/* Writes the session beside the record that it renews, as partners. */
static void write_renewal(struct session_store *store, uint32_t number, struct session *session)
{
	const struct record *used = record_of(store, number);
	uint32_t share = used->share, place = used->partner;
	if (place != 0)
		unlink_record(store, place);
	else if (session_shares_have_room(&store->shares, share))
		place = take_place(store); /* which may be that of the used one */
	else
		unlink_record(store, place = number);
	write_record(store, place, session, share);
	if (place != number) {
		record_of(store, number)->partner = place;
		record_of(store, place)->partner = number;
	}
}

/* rfc8446.4.6.1.lifetime-from-the-first: the new record has the age of the first. */
bool session_store_renew(struct session_store *store, const unsigned char *id,
			 struct session *session)
{
	uint32_t number = find_session(store, id);
	if (number == 0)
		return false;
	session->created = record_of(store, number)->created;
	write_renewal(store, number, session);
	return true;
}

enum session_result session_store_find(struct session_store *store, const unsigned char *id,
				       const unsigned char *id_context, struct session *session)
{
	uint32_t number = find_session(store, id);
	if (number == 0)
		return SESSION_UNKNOWN;
	const struct record *record = record_of(store, number);
	if (is_expired(store, record)) {
		unlink_record(store, number);
		return SESSION_EXPIRED;
	}
	if (CRYPTO_memcmp(record->id_context, id_context, sizeof record->id_context) != 0)
		return SESSION_OTHER_CONTEXT;
	memcpy(session->id, record->id, sizeof session->id);
	memcpy(session->secret, record->secret, record->secret_length);
	memcpy(session->id_context, record->id_context, sizeof session->id_context);
	session->secret_length = record->secret_length;
	session->kind = record->kind;
	session->age = session_store_now(store) - record->created;
	return SESSION_FOUND;
}

/* It is not taken in again, and a client that ends its sessions gets no further places. */
static void end_session(struct session_store *store, uint32_t number)
{
	struct record *record = record_of(store, number);
	if (record->partner != 0)
		record_of(store, record->partner)->partner = 0;
	record->partner = 0;
	OPENSSL_cleanse(record->secret, sizeof record->secret);
	record->secret_length = ENDED;
	store->statistics.sessions--;
}

void session_store_remove(struct session_store *store, const unsigned char *id)
{
	uint32_t number = find_session(store, id);
	if (number == 0)
		return;
	end_session(store, number);
	store->statistics.removals++;
}

/* ---- sessions of other processes ------------------------------------------------ */

/* A record that is written next takes the place of one that is younger. */
static bool is_older_than_the_oldest(const struct session_store *store, uint32_t created)
{
	const struct record *next =
	    store->newest == 0 ? NULL : record_of(store, after(store, store->newest));
	return next != NULL && is_used(next) && !is_expired(store, next) && created < next->created;
}

enum session_sharing_result session_store_insert_shared(struct session_store *store,
							struct session *session,
							const unsigned char *earlier_id)
{
	if (find_session(store, session->id) != 0)
		return SESSION_KNOWN;
	if (find(store, session->id) != 0)
		return SESSION_ENDED;
	uint32_t earlier = earlier_id == NULL ? 0 : find_session(store, earlier_id);
	if (earlier != 0) {
		/* rfc8446.4.6.1.lifetime-from-the-first */
		if (session->created > record_of(store, earlier)->created)
			session->created = record_of(store, earlier)->created;
		write_renewal(store, earlier, session);
		return SESSION_TAKEN;
	}
	drop_expired(store, 2);
	if (!session_shares_have_room(&store->shares, session->share))
		return SESSION_OVER_SHARE;
	if (is_older_than_the_oldest(store, session->created))
		return SESSION_NO_ROOM;
	write_record(store, take_place(store), session, session->share);
	return SESSION_TAKEN;
}

void session_store_remove_shared(struct session_store *store, const unsigned char *id,
				 uint32_t share)
{
	struct session ended = { .secret_length = 0, .created = session_store_now(store) };
	session_store_remove(store, id);
	if (find(store, id) != 0 || !session_shares_have_room(&store->shares, share))
		return;
	memcpy(ended.id, id, sizeof ended.id);
	uint32_t number = take_place(store);
	write_record(store, number, &ended, share);
	end_session(store, number);
	store->statistics.insertions--;
}

void session_store_set_queue(struct session_store *store, struct sharing_queue *queue)
{
	store->queue = queue;
}

struct sharing_queue *session_store_queue(const struct session_store *store)
{
	return store->queue;
}

uint32_t session_store_lifetime(const struct session_store *store)
{
	return store->lifetime;
}

void session_store_set_lifetime(struct session_store *store, uint32_t lifetime)
{
	store->lifetime = lifetime;
}

void session_store_set_share(struct session_store *store, unsigned int share)
{
	session_shares_set_most(&store->shares, share == 1 ? UINT32_MAX : store->capacity / share);
}

uint32_t session_store_share_of(const struct session_store *store,
				const struct failed_handshake *peer)
{
	return session_shares_find(&store->shares, peer);
}

struct session_store_size session_store_size(const struct session_store *store)
{
	return (struct session_store_size){
		.capacity = store->capacity,
		.bytes = store->memory.size,
		.locked = store->memory.locked,
	};
}

struct session_kinds *session_store_kinds(struct session_store *store)
{
	return &store->kinds;
}

struct session_statistics *session_store_statistics(struct session_store *store)
{
	return &store->statistics;
}

void session_store_set_clock(struct session_store *store, uint32_t seconds)
{
	store->time = seconds;
}

void session_store_sweep(struct session_store *store, uint32_t most)
{
	for (uint32_t i = 0; i < most && i < store->capacity; i++) {
		store->swept = after(store, store->swept);
		const struct record *record = record_of(store, store->swept);
		if (is_used(record) && is_expired(store, record))
			unlink_record(store, store->swept);
	}
}

void session_store_flush(struct session_store *store)
{
	secret_memory_wipe(&store->memory);
	store->newest = 0;
	store->oldest = 1;
	store->statistics.sessions = 0;
}
