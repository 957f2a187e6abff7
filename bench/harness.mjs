/** Samples of one case: `run(n)` does the work n times. */
export function measure(run, { batch, samples = 15, warmups = 5 }) {
  for (let i = 0; i < warmups; i++) run(batch);
  const taken = [];
  for (let i = 0; i < samples; i++) {
    const began = process.hrtime.bigint();
    run(batch);
    taken.push(Number(process.hrtime.bigint() - began) / batch);
  }
  return spread(taken);
}

/** Median, minimum and maximum of samples in ns. */
export function spread(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  return { medianNs: sorted[Math.floor(sorted.length / 2)], minNs: sorted[0], maxNs: sorted.at(-1) };
}
