/* Sessions, and ends of sessions, that wait until they are sealed. The memory has a fixed size and
 * is secret; each place is wiped when it is free. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

struct sharing_queue {
	struct secret_memory memory;
	struct shared_session *places;
	size_t capacity, first, count;
	unsigned long dropped, over_share;
	struct stream_shares shares;
};

#define PAGE 4096

struct sharing_queue *sharing_queue_new(size_t bytes, uint32_t most, uint32_t period)
{
	struct sharing_queue *queue = calloc(1, sizeof *queue);
	if (queue == NULL || !stream_shares_init(&queue->shares, most, period) ||
	    !secret_memory_map(&queue->memory, (bytes + PAGE - 1) / PAGE * PAGE)) {
		if (queue != NULL)
			stream_shares_free(&queue->shares);
		free(queue);
		return NULL;
	}
	queue->places = queue->memory.bytes;
	queue->capacity = bytes / sizeof *queue->places;
	return queue;
}

void sharing_queue_free(struct sharing_queue *queue)
{
	if (queue == NULL)
		return;
	secret_memory_unmap(&queue->memory);
	stream_shares_free(&queue->shares);
	free(queue);
}

void sharing_queue_add(struct sharing_queue *queue, const struct shared_session *shared,
		       uint32_t now)
{
	if (queue->count == queue->capacity) {
		queue->dropped++;
		return;
	}
	if (!stream_shares_take(&queue->shares, shared, now)) {
		queue->over_share++;
		return;
	}
	queue->places[(queue->first + queue->count) % queue->capacity] = *shared;
	queue->count++;
}

struct stream_shares *sharing_queue_shares(struct sharing_queue *queue)
{
	return &queue->shares;
}

const struct shared_session *sharing_queue_first(const struct sharing_queue *queue)
{
	return queue->count == 0 ? NULL : &queue->places[queue->first];
}

void sharing_queue_remove_first(struct sharing_queue *queue)
{
	OPENSSL_cleanse(&queue->places[queue->first], sizeof *queue->places);
	queue->count--;
	/* An empty queue begins anew, so that it does not walk through all of its pages. */
	queue->first = queue->count == 0 ? 0 : (queue->first + 1) % queue->capacity;
}

struct sharing_queue_size sharing_queue_size(const struct sharing_queue *queue)
{
	return (struct sharing_queue_size){
		.records = queue->count,
		.bytes = queue->count * sizeof *queue->places,
		.dropped = queue->dropped,
		.over_share = queue->over_share,
		.locked = queue->memory.locked,
	};
}
