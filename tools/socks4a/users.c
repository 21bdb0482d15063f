/* users.c - passwords, or rather what is left of them. See users.h. */
#include "users.h"

#include "diag.h"
#include "hmac.h"
#include "mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

enum {
	KEY_LEN = 32,
	LOGIN_MAX = USERS_TEXT_MAX + 1 + USERS_TEXT_MAX,
	LINE_MAX_LEN = LOGIN_MAX + 1 /* CR */
};

struct user {
	unsigned char name[SHA256_LEN];  /* digest of the user alone: to find the one who is there twice */
	unsigned char login[SHA256_LEN]; /* of user and password, with a zero between them, which neither can have */
};

struct list {
	struct hmac_key key; /* another one for each reading */
	struct user *users;  /* USERS_MAX of them */
	size_t n;
};

struct users {
	char *path;
	pthread_rwlock_t lock;
	struct list list; /* guarded by it */
};

static void free_list(struct list *l)
{
	free(l->users);
	explicit_bzero(&l->key, sizeof(l->key));
}

/* --- from a file to digests --------------------------------------------------------------------------------------- */

static bool is_taken(const struct list *l, const unsigned char name[static SHA256_LEN])
{
	for (size_t i = 0; i < l->n; i++)
		if (memcmp(l->users[i].name, name, SHA256_LEN) == 0)
			return true;
	return false;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The line's n bytes, with a zero behind them. NULL, or what is wrong: a static string, since a password is not to be
 * shown. */
static const char *add_line(struct list *l, char *line, size_t n)
{
	if (n > LOGIN_MAX || memchr(line, '\0', n) != NULL)
		return "a line that is too long, or no text";
	char *colon = strchr(line, ':');
	if (colon == NULL)
		return "a line is USER:PASSWORD";
	size_t user_len = (size_t)(colon - line), password_len = n - user_len - 1;
	if (user_len < 1 || user_len > USERS_TEXT_MAX || password_len < 1 || password_len > USERS_TEXT_MAX)
		return "a user and a password have 1 to 255 bytes each";
	if (is_blank(line[0]) || is_blank(colon[-1]))
		return "there are blanks around the user";
	if (l->n == USERS_MAX)
		return "more than 4096 users";
	struct user *user = &l->users[l->n];
	*colon = '\0';
	hmac_sign(&l->key, line, user_len, user->name);
	hmac_sign(&l->key, line, n, user->login);
	if (is_taken(l, user->name))
		return "this user was there before";
	l->n++;
	return NULL;
}

/* The next line without its end, and a zero behind it. How many bytes it has, one more than LINE_MAX_LEN if it has more
 * than that; or -1: there is none, or it could not be read. */
static int next_line(FILE *file, char line[static LINE_MAX_LEN + 2])
{
	int n = 0, c;
	while ((c = getc(file)) != EOF && c != '\n')
		if (n <= LINE_MAX_LEN)
			line[n++] = (char)c;
	if (ferror(file) || (c == EOF && n == 0))
		return -1;
	if (n > 0 && line[n - 1] == '\r')
		n--;
	line[n] = '\0';
	return n;
}

static bool read_lines(struct list *l, FILE *file, const char *path, char why[static USERS_WHY])
{
	char line[LINE_MAX_LEN + 2];
	const char *wrong = NULL;
	unsigned number = 0;
	for (int n; wrong == NULL && (n = next_line(file, line)) >= 0; number++)
		if (n > 0 && line[0] != '#')
			wrong = add_line(l, line, (size_t)n);
	int err = errno;
	explicit_bzero(line, sizeof(line));
	if (wrong != NULL)
		snprintf(why, USERS_WHY, "%.200s:%u: %s", path, number, wrong);
	else if (ferror(file))
		snprintf(why, USERS_WHY, "read %.200s: %s (%s)", path, strerror(err), errno_name(err));
	return wrong == NULL && !ferror(file);
}

static bool new_key(struct hmac_key *k, char why[static USERS_WHY])
{
	unsigned char secret[KEY_LEN];
	bool ok = getrandom(secret, sizeof(secret), 0) == sizeof(secret);
	int err = errno;
	if (ok)
		hmac_set_key(k, secret, sizeof(secret));
	else
		snprintf(why, USERS_WHY, "getrandom: %s (%s)", strerror(err), errno_name(err));
	explicit_bzero(secret, sizeof(secret));
	return ok;
}

/* False: *l is empty. */
static bool read_list(struct list *l, const char *path, bool *is_open_to_others, char why[static USERS_WHY])
{
	char room[4096]; /* stdio's, so that it can be cleared */
	struct stat st;
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		int err = errno;
		snprintf(why, USERS_WHY, "open %.200s: %s (%s)", path, strerror(err), errno_name(err));
		return false;
	}
	setvbuf(file, room, _IOFBF, sizeof(room));
	if (is_open_to_others != NULL)
		*is_open_to_others = fstat(fileno(file), &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0;
	*l = (struct list){ .users = xcalloc(USERS_MAX, sizeof(struct user)) };
	bool ok = new_key(&l->key, why) && read_lines(l, file, path, why);
	fclose(file);
	explicit_bzero(room, sizeof(room));
	if (!ok)
		free_list(l);
	return ok;
}

struct users *users_read(const char *path, bool *is_open_to_others, char why[static USERS_WHY])
{
	struct list list;
	if (!read_list(&list, path, is_open_to_others, why))
		return NULL;
	struct users *u = xcalloc(1, sizeof(*u));
	u->path = xstrdup(path);
	u->list = list;
	pthread_rwlock_init(&u->lock, NULL);
	return u;
}

bool users_reload(struct users *u, bool *is_open_to_others, char why[static USERS_WHY])
{
	struct list fresh;
	if (!read_list(&fresh, u->path, is_open_to_others, why))
		return false;
	pthread_rwlock_wrlock(&u->lock);
	struct list old = u->list;
	u->list = fresh;
	pthread_rwlock_unlock(&u->lock);
	free_list(&old);
	return true;
}

void users_free(struct users *u)
{
	if (u == NULL)
		return;
	free_list(&u->list);
	pthread_rwlock_destroy(&u->lock);
	free(u->path);
	free(u);
}

/* --- the question ------------------------------------------------------------------------------------------------- */

bool users_know(struct users *u, const char *user, const char *password)
{
	char both[LOGIN_MAX + 1];
	unsigned char digest[SHA256_LEN];
	bool is_known = false;
	if (strlen(user) > USERS_TEXT_MAX || strlen(password) > USERS_TEXT_MAX)
		return false;
	size_t n = (size_t)(stpcpy(stpcpy(both, user) + 1, password) - both);
	pthread_rwlock_rdlock(&u->lock);
	hmac_sign(&u->list.key, both, n, digest);
	for (size_t i = 0; i < u->list.n; i++)
		is_known |= hmac_equal(u->list.users[i].login, digest, sizeof(digest)); /* all of them, found or not */
	pthread_rwlock_unlock(&u->lock);
	explicit_bzero(both, sizeof(both));
	return is_known;
}

size_t users_count(struct users *u)
{
	pthread_rwlock_rdlock(&u->lock);
	size_t n = u->list.n;
	pthread_rwlock_unlock(&u->lock);
	return n;
}
