/* Memory for secrets: left out of core dumps, locked where the system allows it, and wiped
 * when it is freed or the process ends. Pages that are never written take none. */
#define _GNU_SOURCE /* NOLINT: mlock2 is no part of POSIX */
#include "internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <openssl/crypto.h>

static struct secret_memory *memories;

#define PAGE 4096 /* of the system's, or a part of one */

/* Pages that were never written take no memory: they are read, which keeps it so. */
void secret_memory_wipe(struct secret_memory *memory)
{
	static const unsigned char zeros[PAGE];
	unsigned char *bytes = memory->bytes;
	for (size_t i = 0; i < memory->size; i += PAGE)
		if (memcmp(bytes + i, zeros, PAGE) != 0)
			OPENSSL_cleanse(bytes + i, PAGE);
}

static void wipe_all(void)
{
	for (struct secret_memory *memory = memories; memory != NULL; memory = memory->next)
		secret_memory_wipe(memory);
}

/* Locks pages when they are first written. mlock(2) would make all of them resident at once. */
static void lock(struct secret_memory *memory)
{
#ifdef MLOCK_ONFAULT
	memory->locked = mlock2(memory->bytes, memory->size, MLOCK_ONFAULT) == 0;
#else
	memory->locked = false;
#endif
}

/* The child of a fork does not inherit locks. */
static void lock_all(void)
{
	for (struct secret_memory *memory = memories; memory != NULL; memory = memory->next)
		lock(memory);
}

static bool register_handlers(void)
{
	static bool registered;
	if (!registered)
		registered = atexit(wipe_all) == 0 && pthread_atfork(NULL, NULL, lock_all) == 0;
	return registered;
}

bool secret_memory_map(struct secret_memory *memory, size_t size)
{
	if (!register_handlers())
		return false;
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bytes == MAP_FAILED)
		return false;
#ifdef MADV_DONTDUMP
	if (madvise(bytes, size, MADV_DONTDUMP) != 0) {
		munmap(bytes, size);
		return false;
	}
#endif
	memory->bytes = bytes;
	memory->size = size;
	lock(memory);
	memory->next = memories;
	memories = memory;
	return true;
}

void secret_memory_unmap(struct secret_memory *memory)
{
	struct secret_memory **link = &memories;
	while (*link != memory)
		link = &(*link)->next;
	*link = memory->next;
	secret_memory_wipe(memory);
	munmap(memory->bytes, memory->size);
}
