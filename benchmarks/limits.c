/* What this machine can do at most: bytes read a second, and float32 operations a second, on one thread and on two.

   cc -O3 -march=native -ffp-contract=fast -pthread limits.c   (benchmarks/limits.py does it, and reads the line of JSON)

   Vectors are the compiler's own extension (gcc, clang), 64 bytes wide: it makes of them what the machine has. */

#define _GNU_SOURCE
#include <pthread.h>
#ifdef __linux__
#include <sched.h>
#include <sys/mman.h>
#endif
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef int64_t ints __attribute__((vector_size(64)));
typedef float floats __attribute__((vector_size(64)));

enum { SHARE = 192 << 20, ROUNDS = 24, THREADS = 8, CHAINS = 24, STEPS = 16000000 };

typedef struct {
    ints *data;          /* what this thread reads */
    size_t n;            /* how many vectors of it */
    int core;
    double began, ended;
    int64_t sum;         /* so that no read is left out */
    float product;
} Share;

static pthread_barrier_t together;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Each thread on a core of its own, at once: the scheduler may take a while to see that they should part. */
static void settle(int core) {
#ifdef __linux__
    cpu_set_t allowed, one;
    CPU_ZERO(&one);
    sched_getaffinity(0, sizeof allowed, &allowed);
    for (int c = 0, seen = 0; c < CPU_SETSIZE; c++)
        if (CPU_ISSET(c, &allowed) && seen++ == core) CPU_SET(c, &one);
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);
#else
    (void)core;
#endif
    pthread_barrier_wait(&together);
}

static void *reads(void *given) {
    Share *share = given;
    ints a = {0}, b = {0}, c = {0}, d = {0};
    settle(share->core);
    share->began = now();
    for (size_t i = 0; i + 4 <= share->n; i += 4) {
        a += share->data[i];
        b += share->data[i + 1];
        c += share->data[i + 2];
        d += share->data[i + 3];
    }
    share->ended = now();
    a += b + c + d;
    for (int i = 0; i < 8; i++) share->sum += a[i];
    return NULL;
}

static void *multiplies(void *given) {
    Share *share = given;
    floats sums[CHAINS], by = {0}, plus = {0};
    for (int i = 0; i < 16; i++) by[i] = 0.999999f, plus[i] = 1e-6f * (float)i;
    for (int c = 0; c < CHAINS; c++) sums[c] = plus;
    settle(share->core);
    share->began = now();
    for (int step = 0; step < STEPS; step++)
#pragma GCC unroll 24
        for (int c = 0; c < CHAINS; c++) sums[c] = sums[c] * by + plus;
    share->ended = now();
    for (int c = 0; c < CHAINS; c++) share->product += sums[c][0];
    return NULL;
}

/* Seconds from the first thread's start to the last one's end, the best of several rounds. */
static double best(void *(*work)(void *), Share *shares, int threads, int rounds) {
    double least = 1e9;
    for (int round = 0; round < rounds; round++) {
        pthread_t running[THREADS];
        pthread_barrier_init(&together, NULL, (unsigned)threads);
        for (int t = 0; t < threads; t++) pthread_create(&running[t], NULL, work, &shares[t]);
        for (int t = 0; t < threads; t++) pthread_join(running[t], NULL);
        double first = shares[0].began, last = shares[0].ended;
        for (int t = 1; t < threads; t++) {
            if (shares[t].began < first) first = shares[t].began;
            if (shares[t].ended > last) last = shares[t].ended;
        }
        if (last - first < least) least = last - first;
        pthread_barrier_destroy(&together);
        nanosleep(&(struct timespec){0, 20000000}, NULL); /* a neighbour's burst should not meet every round */
    }
    return least;
}

int main(int argc, char **argv) {
    int most = argc > 1 ? atoi(argv[1]) : 2;
    if (most < 1 || most > THREADS) most = 2;
    size_t n = SHARE / sizeof(ints);
    Share shares[THREADS] = {0};
    for (int t = 0; t < most; t++) {
        if (!(shares[t].data = aligned_alloc(2 << 20, SHARE))) return 1;
#ifdef __linux__
        madvise(shares[t].data, SHARE, MADV_HUGEPAGE); /* the limit, so without misses of the page table */
#endif
        shares[t].n = n;
        shares[t].core = t;
        for (size_t i = 0; i < n; i++) shares[t].data[i] = (ints){(int64_t)i, 1, 2, 3, 4, 5, 6, t};
    }
    printf("{");
    for (int threads = 1; threads <= most; threads++) {
        double read = best(reads, shares, threads, ROUNDS), work = best(multiplies, shares, threads, ROUNDS);
        printf("%s\"%d\": {\"bytes\": %.4g, \"flops\": %.4g}", threads > 1 ? ", " : "", threads,
               (double)threads * SHARE / read, 2.0 * 16 * CHAINS * (double)STEPS * threads / work);
    }
    printf("}\n");
    return shares[0].sum == 42 && shares[0].product == 42.0f; /* used, so not optimised away */
}
