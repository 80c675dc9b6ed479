// A C program that uses the Go library, forks, and uses it in the children:
//
//	host outputs CHILDREN           lines of "who generation bytes..."
//	host outputs CHILDREN hook      the same with a function of OnClone
//	host OPERATION LOAD CHILDREN    how many children end, and how many hang
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern int chost_read(void *p, size_t n);
extern unsigned long long chost_generation(void);
extern void chost_on_clone(void);
extern void chost_busy(int goroutines);
extern void chost_alloc(int kib);
extern void chost_gc(void);
extern void chost_goroutine(void);

enum { RECORD = 32, RECORDS = 8, LARGE = 256 * 1024, LIMIT_MS = 10000 };

static unsigned char large[LARGE];
static volatile unsigned long *bytes_read; // by the child, in memory of both

// outputs writes one line by one write, so that lines of processes do not mix.
static void outputs(const char *who) {
	char line[2048];
	unsigned char b[RECORD];
	int n = snprintf(line, sizeof line, "%s %llu", who, chost_generation());
	for (int i = 0; i <= RECORDS; i++) {
		if (i < RECORDS) {
			if (chost_read(b, RECORD)) _exit(3);
		} else {
			if (chost_read(large, LARGE)) _exit(3);
			memcpy(b, large, RECORD);
		}
		line[n++] = ' ';
		for (int j = 0; j < RECORD; j++) n += sprintf(line + n, "%02x", b[j]);
	}
	line[n++] = '\n';
	if (write(1, line, n) != n) _exit(3);
}

static void *read_small(void *unused) {
	unsigned char b[16];
	for (int i = 0; i < 1000; i++)
		if (chost_read(b, sizeof b)) _exit(3);
	*bytes_read += 1000 * sizeof b;
	return unused;
}

static void operate(const char *what) {
	if (!strcmp(what, "read")) {
		for (int i = 0; i < 100; i++) read_small(NULL);
	} else if (!strcmp(what, "many")) { // 10 million: what a Read allocates adds up
		for (int i = 0; i < 10000; i++) read_small(NULL);
	} else if (!strcmp(what, "large")) {
		for (int i = 0; i < 4096; i++) { // 1 GiB
			if (chost_read(large, LARGE)) _exit(3);
			*bytes_read += LARGE;
		}
	} else if (!strcmp(what, "alloc")) { // many collections
		chost_alloc(64 * 1024);
	} else if (!strcmp(what, "gc")) {
		chost_gc();
	} else if (!strcmp(what, "goroutine")) {
		for (int i = 0; i < 100; i++) chost_goroutine();
	} else if (!strcmp(what, "threads")) { // new threads of the child read at once
		pthread_t t[4];
		for (int i = 0; i < 4; i++)
			if (pthread_create(&t[i], NULL, read_small, NULL)) _exit(3);
		for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
	} else {
		_exit(2);
	}
}

static void sleep_ms(int ms) {
	struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
	nanosleep(&t, NULL);
}

// await ends a child that takes too long: 0 it ended well, 1 it hung, 2 it failed.
static int await(pid_t pid) {
	int status;
	for (int ms = 0; ms < LIMIT_MS; ms += 5) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 2;
		sleep_ms(5);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return 1;
}

int main(int argc, char **argv) {
	int count[3] = {0, 0, 0};
	if (argc >= 3 && !strcmp(argv[1], "outputs")) {
		if (argc == 4) chost_on_clone();
		outputs("parent");
		for (int i = 0; i < atoi(argv[2]); i++) {
			pid_t pid = fork();
			if (pid < 0) return 1;
			if (pid == 0) {
				outputs("child");
				pid = fork();
				if (pid < 0) _exit(1);
				if (pid == 0) {
					outputs("grandchild");
					_exit(0);
				}
				outputs("child");
				_exit(await(pid));
			}
			outputs("parent");
			if (await(pid)) return 1;
		}
		return 0;
	}
	if (argc != 4) return 2;
	unsigned long before = ~0UL;
	bytes_read = mmap(NULL, sizeof *bytes_read, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (bytes_read == MAP_FAILED) return 1;
	read_small(NULL);
	if (!strcmp(argv[2], "busy")) {
		chost_busy(4);
		sleep_ms(50);
	}
	for (int i = 0; i < atoi(argv[3]); i++) {
		*bytes_read = 0;
		pid_t pid = fork();
		if (pid < 0) return 1;
		if (pid == 0) {
			operate(argv[1]);
			_exit(0);
		}
		int how = await(pid);
		count[how]++;
		if (how == 1 && *bytes_read < before) before = *bytes_read;
	}
	printf("%s, parent %s: %d ended, %d hung, %d failed", argv[1], argv[2], count[0], count[1], count[2]);
	if (count[1] > 0) printf("; the first after %lu KiB", before / 1024);
	printf("\n");
	return 0;
}
