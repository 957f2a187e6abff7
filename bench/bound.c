/* The bound that `pnpm bench` compares translate() with: the same IOTLB (4,096 lines, 4 ways, tag in a double), the same
 * checks (configuration, tag, right, stale mark, frame generation) and the same four-level walk over tables in memory,
 * written plainly in C. Prints one line a case: name, median, minimum and maximum in ns.
 * Build and run: cc -O2 -o bound bound.c && ./bound */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SETS 1024
#define WAYS 4
#define FRAMES (4096 * 4)
#define PAGES_1M (1u << 20)

static double tag[SETS * WAYS];
static uint32_t frame[SETS * WAYS], generation_of_line[SETS * WAYS];
static uint8_t flags[SETS * WAYS], next_way[SETS];
static uint64_t *memory;
static uint32_t *generation;
static uint32_t frames_used = 1;
static uint32_t root;

static struct { uint32_t stream, pasid, asid, root; int valid; } config;

static uint32_t new_frame(void) { generation[frames_used] = 1; return frames_used++; }

static void map(uint64_t page, uint32_t to) {
  uint32_t table = root;
  for (int shift = 27; shift > 0; shift -= 9) {
    uint64_t *entry = &memory[(uint64_t)table * 512 + ((page >> shift) & 511)];
    if (!(*entry & 1)) *entry = ((uint64_t)new_frame() << 12) | 3;
    table = (uint32_t)(*entry >> 12);
  }
  memory[(uint64_t)table * 512 + (page & 511)] = ((uint64_t)to << 12) | 0xf43;
}

static __attribute__((noinline)) uint32_t translate(uint32_t stream, uint32_t pasid, uint64_t page, unsigned want) {
  if (!(config.valid && config.stream == stream && config.pasid == pasid)) return 0;
  double wanted = (double)config.asid * 68719476736.0 + (double)page;
  uint32_t set = (uint32_t)(page ^ (page >> 10) ^ config.asid) & (SETS - 1);
  uint32_t line = set * WAYS;
  for (int way = 0; way < WAYS; way++, line++) {
    if (tag[line] != wanted) continue;
    if ((flags[line] & want) != want || (flags[line] & 128)) return 0;
    if (generation[frame[line] % FRAMES] != generation_of_line[line]) return 0;
    return frame[line];
  }
  uint32_t table = config.root;
  uint64_t entry = 0;
  for (int shift = 27; shift >= 0; shift -= 9) {
    if (!(generation[table % FRAMES] & 1)) return 0;
    entry = memory[(uint64_t)table * 512 + ((page >> shift) & 511)];
    if (!(entry & 1)) return 0;
    table = (uint32_t)(entry >> 12);
  }
  if (!(entry & 0x400)) return 0;
  line = set * WAYS + (next_way[set]++ & (WAYS - 1));
  tag[line] = wanted;
  frame[line] = table;
  flags[line] = 3;
  generation_of_line[line] = generation[table % FRAMES];
  return table;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static uint32_t order[1 << 16];
static uint32_t sink;

/* Times `n` translations in random order of `span` pages, `samples` times; `drop` empties the line before each. */
static double sample(uint32_t n, int drop, int walk) {
  double began = now();
  for (uint32_t i = 0; i < n; i++) {
    uint64_t page = order[i & 65535];
    if (drop) {
      uint32_t set = (uint32_t)(page ^ (page >> 10) ^ config.asid) & (SETS - 1);
      for (int way = 0; way < WAYS; way++) tag[set * WAYS + way] = -1;
    }
    if (walk) sink += translate(24, 1, page, 1);
  }
  return (now() - began) / n;
}

static void measure(const char *name, uint32_t span, int drop) {
  enum { SAMPLES = 21, N = 1 << 20 };
  double taken[SAMPLES];
  for (uint32_t i = 0; i < 65536; i++) order[i] = (uint32_t)(((uint64_t)rand() * 32768 + rand()) % span);
  for (int i = 0; i < 3; i++) sample(N, drop, 1);
  for (int i = 0; i < SAMPLES; i++) taken[i] = sample(N, drop, 1) - (drop ? sample(N, drop, 0) : 0);
  qsort(taken, SAMPLES, sizeof taken[0], ascending);
  printf("%s %.3f %.3f %.3f\n", name, taken[SAMPLES / 2], taken[0], taken[SAMPLES - 1]);
}

int main(void) {
  memory = calloc((size_t)FRAMES * 512, 8);
  generation = calloc(FRAMES, 4);
  for (uint32_t i = 0; i < FRAMES; i++) generation[i] = 1;
  for (int i = 0; i < SETS * WAYS; i++) tag[i] = -1;
  root = new_frame();
  for (uint32_t page = 0; page < PAGES_1M; page++) map(page, 0x40000 + page);
  config.stream = 24, config.pasid = 1, config.asid = 1, config.root = root, config.valid = 1;
  measure("translate-hit-1k", 1024, 0);
  measure("translate-hit-1m", 1024, 0);
  measure("translate-miss-1m", PAGES_1M, 0);
  measure("translate-miss-1k", 1024, 1);
  return sink == 42;
}
