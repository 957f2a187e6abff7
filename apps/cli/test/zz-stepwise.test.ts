import { readdirSync } from 'node:fs';
import { it } from 'vitest';
import { iommukit } from './support.js';
it('stepwise', async () => {
  for (const f of readdirSync(new URL('../scenarios', import.meta.url))) {
    const name = f.replace('.yaml', '');
    for (const set of [[], ['--set', 'btm=on'], ['--set', 'cpu-page=64K'], ['--set', 'cpu-page=16K', '--set', 'hw-af-dirty=on'],['--set', 'cpu-el2=on', '--set', 'btm=on']]) {
    const t = performance.now();
    const { code, stdout, stderr } = await iommukit('run', name, '--set', `gait=stepwise`, ...set, '--schedules', '1000');
    if (code !== 0) console.log(name, set.join(' '), code, Math.round(performance.now() - t), stdout.split('\n').slice(-14).join(' | ').slice(0, 700), stderr.slice(0, 600));
    }
  }
}, 600000);
