/* stop-and-wait.c - the floor for scripts/bench/ttcp: the bytes of a plain ttcp session (docs/wire-formats.md) with nothing
 * around them. No options, no clock in the loop, no checks that a real tool needs. Prints bytes each second.
 *
 *     stop-and-wait BLOCKS LENGTH */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static _Noreturn void receive(int fd, char *block, size_t len)
{
	int session[2];
	if (recv(fd, session, sizeof(session), MSG_WAITALL) != sizeof(session))
		exit(1);
	for (int n = (int)ntohl((unsigned)session[0]); n > 0; n--)
		if (recv(fd, block, 4 + len, MSG_WAITALL) != (ssize_t)(4 + len) || send(fd, block, 4, 0) != 4)
			exit(1);
	exit(0);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	int blocks = atoi(argv[1]), ack, status;
	size_t len = (size_t)atoi(argv[2]);
	char *block = calloc(1, 4 + len);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t alen = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
	if (block == NULL || bind(listener, (struct sockaddr *)&a, alen) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&a, &alen) < 0)
		return 1;
	if (fork() == 0)
		receive(accept(listener, NULL, NULL), block, len);
	if (connect(fd, (struct sockaddr *)&a, alen) < 0)
		return 1;
	unsigned session[2] = { htonl((unsigned)blocks), htonl((unsigned)len) };
	*(unsigned *)block = htonl((unsigned)len);
	for (size_t i = 0; i < len; i++) /* memory nobody wrote to is one page of zeros, which stays in the cache */
		block[4 + i] = "0123456789ABCDEF"[i % 16];
	double start = now();
	if (send(fd, session, sizeof(session), 0) != sizeof(session))
		return 1;
	for (int i = 0; i < blocks; i++)
		if (send(fd, block, 4 + len, 0) != (ssize_t)(4 + len) || recv(fd, &ack, 4, MSG_WAITALL) != 4)
			return 1;
	printf("%.0f\n", (double)blocks * (double)len / (now() - start));
	return wait(&status) < 0 || status != 0;
}
