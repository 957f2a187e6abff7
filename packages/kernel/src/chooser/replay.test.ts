import { describe, expect, it } from 'vitest';
import { ending, go, pause } from '../../test/harness.js';
import { Kernel, ReplayChooser } from '../index.js';

function two(): Kernel {
  const kernel = new Kernel();
  for (const name of ['a', 'b']) {
    kernel.spawn(name, function* () {
      for (let i = 0; i < 3; i++) yield* pause(kernel);
    });
  }
  return kernel;
}

describe('ReplayChooser', () => {
  it('says where a choice cannot be made', () => {
    expect(ending(go(two(), new ReplayChooser([[2, 5]])))).toBe(
      'refused: choice 2 takes task 5 of the runnable ones, but only 2 are runnable (a, b)',
    );
  });

  it('counts the choices that the run never came to', () => {
    const chooser = new ReplayChooser([
      [1, 1],
      [400, 1],
    ]);
    expect(go(two(), chooser).end).toBe('finished');
    expect(chooser.unmade()).toBe(1);
  });

  it('can be used again: each run begins with the first choice', () => {
    const chooser = new ReplayChooser([[0, 1]]);
    const tokens = [go(two(), chooser).token, go(two(), chooser).token];
    expect(tokens[0]).toBe(tokens[1]);
    expect(chooser.unmade()).toBe(0);
  });
});
