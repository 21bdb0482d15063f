/* names.h - getaddrinfo(3) as a test wants it, instead of the C library's: the names are those of a table, no server is
 * asked, and a lookup takes as long as the test says.
 *
 * The table is the test's: `names[]`, of which the first row counts that is the beginning of the name in question. So
 * there are as many names as a test needs: "good-1", "good-2". */
#ifndef TCPLAB_NAMES_H
#define TCPLAB_NAMES_H

#include "check.h"
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

struct name_row {
	const char *begin, *addresses; /* with a blank between two */
	int gai, err;                  /* instead of addresses */
	sem_t *gate;                   /* to be waited for, after names_begun was posted; or NULL */
};
extern const struct name_row names[]; /* the last one's `begin` is "": all other names */

static sem_t names_begun;
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static char names_story[1024]; /* what was looked up, in this order; read it when no lookup is under way */

static inline void names_wait(sem_t *s)
{
	while (sem_wait(s) < 0)
		CHECK_INT(errno, EINTR);
}

static inline void names_tell(const char *name)
{
	pthread_mutex_lock(&names_lock);
	size_t len = strlen(names_story);
	snprintf(names_story + len, sizeof(names_story) - len, "%s%s", len > 0 ? " " : "", name);
	pthread_mutex_unlock(&names_lock);
}

static inline void names_forget_story(void)
{
	pthread_mutex_lock(&names_lock);
	names_story[0] = '\0';
	pthread_mutex_unlock(&names_lock);
}

/* Adds an address to the list, if it is one and of the family. */
static inline void names_add(struct addrinfo ***end, const char *text, const char *service, int family)
{
	struct both {
		struct addrinfo ai;
		struct sockaddr_storage storage;
	} *both = calloc(1, sizeof(*both));
	struct sockaddr_in *in4 = (void *)&both->storage;
	struct sockaddr_in6 *in6 = (void *)&both->storage;
	both->ai.ai_addr = (void *)&both->storage;
	if (family != AF_INET6 && inet_pton(AF_INET, text, &in4->sin_addr) == 1) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons((uint16_t)atoi(service));
		both->ai.ai_addrlen = sizeof(*in4);
	} else if (family != AF_INET && inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)atoi(service));
		both->ai.ai_addrlen = sizeof(*in6);
	} else {
		free(both);
		return;
	}
	**end = &both->ai;
	*end = &both->ai.ai_next;
}

int getaddrinfo(const char *restrict host, const char *restrict service, const struct addrinfo *restrict hints,
		struct addrinfo **restrict list)
{
	struct addrinfo **end = list;
	*list = NULL;
	names_add(&end, host, service, hints->ai_family);
	if (*list != NULL || (hints->ai_flags & AI_NUMERICHOST) != 0)
		return *list != NULL ? 0 : EAI_NONAME;
	const struct name_row *row = names;
	while (strncmp(host, row->begin, strlen(row->begin)) != 0)
		row++;
	names_tell(host);
	if (row->gate != NULL) {
		sem_post(&names_begun);
		names_wait(row->gate);
	}
	errno = row->err;
	char all[256], *rest = all;
	snprintf(all, sizeof(all), "%s", row->addresses != NULL ? row->addresses : "");
	for (char *one; (one = strsep(&rest, " ")) != NULL;)
		names_add(&end, one, service, hints->ai_family);
	return *list != NULL ? 0 : row->gai != 0 ? row->gai : EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *list)
{
	for (struct addrinfo *next; list != NULL; list = next) {
		next = list->ai_next;
		free(list); /* with its address: they are one piece */
	}
}

#endif
