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

/** Every case on every backend, one beside the other: `name` on the SMMUv3, `vtd:name` on VT-d. `of[backend]` is what a case is given. */
export function besides(cases, of) {
  const entries = Object.entries(cases).flatMap(([name, run]) => [
    [name, () => run(of.smmuv3)],
    [`vtd:${name}`, () => run(of.vtd)],
  ]);
  return Object.fromEntries(entries);
}
