/** One sample: ns for each of `n` repetitions. */
export function time(run, n) {
  const began = process.hrtime.bigint();
  run(n);
  return Number(process.hrtime.bigint() - began) / n;
}

/** Samples of one case after warm-up: `run(n)` does the work n times. */
export function measure(run, { batch, samples = 15, warmups = 5 }) {
  for (let i = 0; i < warmups; i++) run(batch);
  return spread(Array.from({ length: samples }, () => time(run, batch)));
}

/** Median, minimum and maximum (ns). */
export function spread(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  return { medianNs: sorted[Math.floor(sorted.length / 2)], minNs: sorted[0], maxNs: sorted.at(-1) };
}
